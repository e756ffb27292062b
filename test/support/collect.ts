/** All that an async iterable yields, in order (`Array.fromAsync` is not in Node 20). */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
}
