/** Sizes as people type them: a number and a binary unit. */
export const UNITS = ["MiB", "GiB", "TiB"] as const;
export type SizeUnit = (typeof UNITS)[number];

const FACTORS: Record<SizeUnit, number> = { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
/** Disks are made of sectors, and file systems of pages. */
const STEP = 4096;

/** The largest unit that says a size with at most three digits after the point. */
export function splitSize(bytes: number): { amount: number; unit: SizeUnit } {
  for (const unit of [...UNITS].reverse()) {
    const amount = bytes / FACTORS[unit];
    if (amount >= 1 && Math.round(amount * 1000) === amount * 1000) return { amount, unit };
  }
  return { amount: Math.ceil((bytes / FACTORS.MiB) * 1000) / 1000, unit: "MiB" };
}

/** The bytes of a typed size, rounded up to whole pages; null when it is no size. */
export function joinSize(amount: string, unit: SizeUnit): number | null {
  const text = amount.trim().replace(",", ".");
  if (!/^\d+(\.\d+)?$/.test(text)) return null;
  const bytes = Math.ceil((Number(text) * FACTORS[unit]) / STEP) * STEP;
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : null;
}
