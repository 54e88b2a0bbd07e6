/**
 * SQL statements with typed parameters and typed rows. A statement is declared once, at the top of a module:
 *
 *     const findUser = statement({
 *       name: "find-user",
 *       sql: `SELECT id, created_at AS "createdAt" FROM users WHERE username = :username`,
 *       parameters: { username: text },
 *       columns: { id: uuid, createdAt: timestamptz },
 *     });
 *
 * and run with Knex or a Knex transaction:
 *
 *     const user = await database.read((knex) => findUser.first(knex, { username }));
 *
 * TypeScript derives the types of parameters and rows from the declaration. test/promises/statementsFitSchema.test.ts
 * prepares every declared statement on the migrated schema, and fails if Postgres has other types or columns.
 */
import { createHash } from "node:crypto";
import type { Knex } from "knex";
import type pg from "pg";
import type { SqlType } from "./sqlTypes.ts";

type Types = Readonly<Record<string, SqlType<unknown>>>;
type Accepted<T> = T extends Buffer | Date ? T : T extends (infer Item)[] ? readonly Item[] : T;
type Values<Parameters extends Types> = {
  readonly [Name in keyof Parameters]: Parameters[Name] extends SqlType<infer T> ? Accepted<T> : never;
};
type Row<Columns extends Types> = {
  -readonly [Name in keyof Columns]: Columns[Name] extends SqlType<infer T> ? T : never;
};
/** A statement without parameters takes no values. */
type Arguments<Parameters extends Types> = keyof Parameters extends never ? [] : [values: Values<Parameters>];

export type Statement<Parameters extends Types = Types, Columns extends Types = Types> = {
  readonly name: string;
  /** The SQL that Postgres receives, with `$1` for the first parameter, and so on. */
  readonly text: string;
  readonly parameters: Parameters;
  readonly columns: Columns;
  rows(knex: Knex, ...values: Arguments<Parameters>): Promise<Row<Columns>[]>;
  /** The first row; `undefined` if there is none. */
  first(knex: Knex, ...values: Arguments<Parameters>): Promise<Row<Columns> | undefined>;
  /** The only row of a statement that always returns one. @throws {Error} if it returns none, or several */
  one(knex: Knex, ...values: Arguments<Parameters>): Promise<Row<Columns>>;
  /** The number of rows that were inserted, updated, deleted or selected. */
  count(knex: Knex, ...values: Arguments<Parameters>): Promise<number>;
};

/** The type of a statement's rows: `RowOf<typeof findUser>`. */
export type RowOf<S> = S extends { readonly columns: infer Columns extends Types } ? Row<Columns> : never;

type Declaration<Parameters extends Types, Columns extends Types> = {
  /** Unique in the program. `pg_stat_activity` and `pg_stat_statements` show it, as a comment behind the first keyword. */
  name: string;
  /** With `:name` for a parameter, which is cast to its declared type. */
  sql: string;
  parameters?: Parameters;
  /** The columns of the result, by name. None for a statement that returns no rows. */
  columns?: Columns;
  /**
   * Plans each run anew. For a table that grows so quickly that a prepared plan is wrong until the next ANALYZE, and for
   * conditions that have different indexes.
   */
  replan?: boolean;
};

type Declared = Pick<Statement, "name" | "text" | "parameters" | "columns">;
const declared = new Map<string, Declared>();

/** Every statement of the modules that have been loaded. */
export const declaredStatements = (): readonly Declared[] => [...declared.values()];

/**
 * Declares a statement. It is prepared once on each connection that runs it, unless `replan` is set.
 * @throws {Error} if the name is in use, or a parameter is missing in the declaration or in the SQL
 */
// biome-ignore lint/complexity/noBannedTypes: a declaration without parameters or columns has none
export function statement<const Parameters extends Types = {}, const Columns extends Types = {}>(
  declaration: Declaration<Parameters, Columns>,
): Statement<Parameters, Columns> {
  const { name, sql, parameters = {} as Parameters, columns = {} as Columns } = declaration;
  if (declared.has(name)) throw new Error(`there are two statements with the name ${name}`);
  const { text, order } = numberParameters(name, sql, parameters);
  declared.set(name, { name, text, parameters, columns });
  // A server connection of a pooler can outlive a version of the program, so another text must have another name.
  const preparedName = `${name}-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
  const prepared = declaration.replan ? {} : { name: preparedName };

  const run = (knex: Knex, [values]: Arguments<Parameters>): Promise<pg.QueryResult<Row<Columns>>> =>
    query(knex, { ...prepared, text, values: order.map((parameter) => values?.[parameter]) });

  return {
    name,
    text,
    parameters,
    columns,
    rows: (knex, ...values) => run(knex, values).then(({ rows }) => rows),
    first: (knex, ...values) => run(knex, values).then(({ rows }) => rows[0]),
    async one(knex, ...values) {
      const [row, ...more] = (await run(knex, values)).rows;
      if (!row || more.length > 0) throw new Error(`the statement ${name} did not return exactly one row`);
      return row;
    },
    count: (knex, ...values) => run(knex, values).then(({ rowCount }) => rowCount ?? 0),
  };
}

/** Replaces `:name` by `$1::type`. A double colon is a cast of Postgres. */
function numberParameters<Parameters extends Types>(name: string, sql: string, parameters: Parameters) {
  const order: (keyof Parameters & string)[] = [];
  const numbered = sql.replace(/(?<!:):([a-z]\w*)/gi, (_, parameter: string) => {
    const type = parameters[parameter];
    if (!type) throw new Error(`the statement ${name} has no parameter ${parameter}`);
    if (!order.includes(parameter)) order.push(parameter);
    return `$${order.indexOf(parameter) + 1}::${type.name}`;
  });
  const unused = Object.keys(parameters).filter((parameter) => !order.includes(parameter));
  if (unused.length > 0) throw new Error(`the statement ${name} does not use its parameter ${unused.join(", ")}`);
  // Behind the first keyword: pg_stat_statements removes a comment in front of it.
  return { text: numbered.replace(/^\s*\w+/, (keyword) => `${keyword} /* ${name} */`), order };
}

type Connection<R extends pg.QueryResultRow> = {
  query(config: pg.QueryConfig, callback: (error: Error | null, result: pg.QueryResult<R>) => void): void;
};

/**
 * Runs a query on a connection of Knex, or on the connection of the transaction. It does not use `knex.raw`, which cannot name a
 * prepared statement, and which adds the SQL to error messages.
 */
function query<R extends pg.QueryResultRow>(knex: Knex, config: pg.QueryConfig): Promise<pg.QueryResult<R>> {
  return new Promise((resolve, reject) => {
    // After a transaction has ended, others may use its connection.
    if (isTransaction(knex) && knex.isCompleted()) throw new Error("the transaction has ended");
    const run = (connection: Connection<R>): void =>
      connection.query(config, (error, result) => {
        knex.client.releaseConnection(connection);
        if (error) reject(error);
        else resolve(result);
      });
    knex.client.acquireConnection().then(run).catch(reject);
  });
}

const isTransaction = (knex: Knex): knex is Knex.Transaction => "isCompleted" in knex;
