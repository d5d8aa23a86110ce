/** A squarified treemap (Bruls, Huizing, van Wijk): areas as near to squares as they go. */
export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Places for sizes, given from the largest to the smallest, that fill a rectangle in proportion. */
export function squarify(sizes: readonly number[], into: Rectangle): Rectangle[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total <= 0 || into.width <= 0 || into.height <= 0)
    return sizes.map(() => ({ ...into, width: 0, height: 0 }));
  const scale = (into.width * into.height) / total;
  const areas = sizes.map((size) => size * scale);
  const places: Rectangle[] = [];
  let rest = { ...into };
  let row: number[] = [];

  const place = () => {
    const area = row.reduce((sum, one) => sum + one, 0);
    const upright = rest.width >= rest.height;
    const thickness = upright ? area / rest.height : area / rest.width;
    let along = upright ? rest.y : rest.x;
    for (const one of row) {
      const length = thickness > 0 ? one / thickness : 0;
      places.push(
        upright
          ? { x: rest.x, y: along, width: thickness, height: length }
          : { x: along, y: rest.y, width: length, height: thickness },
      );
      along += length;
    }
    rest = upright
      ? { ...rest, x: rest.x + thickness, width: rest.width - thickness }
      : { ...rest, y: rest.y + thickness, height: rest.height - thickness };
    row = [];
  };

  for (const area of areas) {
    const side = Math.min(rest.width, rest.height);
    if (row.length > 0 && worst([...row, area], side) > worst(row, side)) place();
    row.push(area);
  }
  if (row.length > 0) place();
  return places;
}

function worst(row: readonly number[], side: number): number {
  const sum = row.reduce((total, one) => total + one, 0);
  const largest = Math.max(...row);
  const smallest = Math.min(...row);
  if (smallest <= 0 || sum <= 0) return Number.POSITIVE_INFINITY;
  return Math.max((side * side * largest) / (sum * sum), (sum * sum) / (side * side * smallest));
}
