/**
 * Calls `next` with a value, at once if it is not a promise, as in most checks of a credential: an `async` function takes a
 * twentieth of their time.
 */
export const follow = <Value, Result>(
  value: Value | Promise<Value>,
  next: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> => (value instanceof Promise ? value.then(next) : next(value));

/** @returns the values, and a promise only if one of them is a promise */
export const gather = <Value>(values: readonly (Value | Promise<Value>)[]): readonly Value[] | Promise<Value[]> =>
  values.every((value): value is Value => !(value instanceof Promise)) ? values : Promise.all(values);
