/**
 * The SQL types of parameters and columns, each with the TypeScript type that `pg` converts it to. Their names are those of
 * `format_type`, so that a test can compare them.
 */

/** `isNullable`: the parameter or column may be NULL. */
export type SqlType<T> = {
  readonly name: string;
  readonly isNullable: boolean;
  /** Exists only in the type. */
  readonly type?: T;
};

const typeNamed = <T>(name: string): SqlType<T> => ({ name, isNullable: false });

export const boolean = typeNamed<boolean>("boolean");
export const integer = typeNamed<number>("integer");
/** A string, because a number is exact only up to 2^53. */
export const bigint = typeNamed<string>("bigint");
export const double = typeNamed<number>("double precision");
export const text = typeNamed<string>("text");
export const varchar = typeNamed<string>("character varying");
export const bytea = typeNamed<Buffer>("bytea");
export const uuid = typeNamed<string>("uuid");
export const timestamptz = typeNamed<Date>("timestamp with time zone");
export const xid8 = typeNamed<string>("xid8");
export const snapshot = typeNamed<string>("pg_snapshot");
/** `T` is the type that the statement builds with `json_build_object` or `json_agg`. No test can check it. */
export const json = <T>(): SqlType<T> => typeNamed<T>("json");

export const jsonb = <T>(): SqlType<T> => typeNamed<T>("jsonb");

export const nullable = <T>(type: SqlType<T>): SqlType<T | null> => ({ ...type, isNullable: true });

export const arrayOf = <T>(type: SqlType<T>): SqlType<T[]> => typeNamed<T[]>(`${type.name}[]`);

/** The same SQL type with a narrower TypeScript type, such as a branded id: `narrowed<UserId>(uuid)`. */
export const narrowed = <T>(type: SqlType<string>): SqlType<T> => ({ name: type.name, isNullable: type.isNullable });
