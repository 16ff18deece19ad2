// A map that keeps so many of the newest: what is entered beyond pushes the oldest out.

export function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, entriesMax: number): void {
  map.delete(key);
  // Oldest first: a map keeps the order of insertion.
  for (const oldest of map.keys()) {
    if (map.size < entriesMax) break;
    map.delete(oldest);
  }
  map.set(key, value);
}
