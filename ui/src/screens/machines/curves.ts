/** Points for curves: where nothing was measured for a while, the curve has a gap. */
import type { LoadPoint } from "../../backend";

export interface CurvePoint {
  at: number;
  /** Nothing in a gap. */
  point: LoadPoint | null;
}

/** Points in order of time, with a gap wherever two are more than `apart` milliseconds from each other. */
export function curvePoints(points: readonly LoadPoint[], apart: number): CurvePoint[] {
  const found: CurvePoint[] = [];
  let last: number | undefined;
  for (const point of points) {
    if (last !== undefined && point.at - last > apart)
      found.push({ at: (last + point.at) / 2, point: null });
    found.push({ at: point.at, point });
    last = point.at;
  }
  return found;
}
