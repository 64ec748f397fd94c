/**
 * The rows of a run and their statistics: paired rounds, medians, spreads and targets. Pure functions.
 */

/** The value that is compared with the target. */
export type Comparison =
  /** Our value divided by the reference's, round by round. */
  | 'ratio'
  /** Our value minus the reference's, round by round. */
  | 'difference'
  /** Our value alone. */
  | 'value';

/** One row of the table. */
export interface Row {
  /** The measured work, in the words of docs/benchmarks.md. */
  readonly work: string;
  /** The name of the reference. Empty if there is none. */
  readonly reference: string;
  readonly unit: string;
  readonly compare: Comparison;
  /** One value per round. The rounds of both sides are interleaved. */
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly target?: Target;
  readonly note?: string;
}

export type Target = { readonly atLeast: number } | { readonly atMost: number };

export interface Summary {
  readonly ours: Spread;
  readonly theirs: Spread | undefined;
  readonly compared: Spread;
  /** Undefined without a target. */
  readonly met: boolean | undefined;
}

/** A median with the quartiles around it. */
export interface Spread {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** A skipped measurement. The table shows the reason; it is not a failure. */
export interface Skipped {
  readonly work: string;
  readonly reason: string;
}

export function summarise(row: Row): Summary {
  const compared = spread(compareRounds(row));
  return {
    ours: spread(row.ours),
    theirs: row.theirs.length === 0 ? undefined : spread(row.theirs),
    compared,
    met: row.target && meets(compared.median, row.target),
  };
}

/** Compares round by round, because a slow phase of the machine slows both sides of a round. */
function compareRounds({ ours, theirs, compare }: Row): number[] {
  if (compare === 'value') return [...ours];
  if (ours.length !== theirs.length) throw new Error('both sides of a comparison must have the same rounds');
  return ours.map((value, round) => {
    const reference = theirs[round] ?? Number.NaN;
    return compare === 'ratio' ? value / reference : value - reference;
  });
}

function meets(value: number, target: Target): boolean {
  return 'atLeast' in target ? value >= target.atLeast : value <= target.atMost;
}

export function spread(values: readonly number[]): Spread {
  return {
    low: quantile(values, 0.25),
    median: quantile(values, 0.5),
    high: quantile(values, 0.75),
  };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The quantile, interpolated between the two nearest values. `fraction` is 0..1. Throws without values. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new Error('no values');
  return below + (above - below) * (place - Math.floor(place));
}

/** Formats a number with three significant digits and without an exponent. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

export function formatTarget(row: Row): string {
  if (!row.target) return '';
  const sign = row.compare === 'ratio' ? 'x' : ` ${row.unit}`;
  return 'atLeast' in row.target
    ? `≥ ${formatNumber(row.target.atLeast)}${sign}`
    : `≤ ${formatNumber(row.target.atMost)}${sign}`;
}
