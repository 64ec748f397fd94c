/**
 * Owns what a measurement is and how it is summed up: rows of paired rounds, medians, spreads, targets. Pure.
 * Refuses to know how anything was measured.
 */

/** What a row's target is held against. */
export type Comparison =
  /** Ours divided by the reference's, round by round. */
  | 'ratio'
  /** Ours minus the reference's, round by round. */
  | 'difference'
  /** Ours alone. */
  | 'value';

/** One line of the table. */
export interface Row {
  /** What was done, in the words of the design's table. */
  readonly work: string;
  /** What ours is compared with; empty if with nothing. */
  readonly reference: string;
  readonly unit: string;
  readonly compare: Comparison;
  /** One value per round; the rounds of both were interleaved. */
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

/** Why something was not measured. Not a failure: the table says it. */
export interface Skipped {
  readonly work: string;
  readonly why: string;
}

export function summarise(row: Row): Summary {
  const compared = spread(comparisons(row));
  return {
    ours: spread(row.ours),
    theirs: row.theirs.length === 0 ? undefined : spread(row.theirs),
    compared,
    met: row.target && meets(compared.median, row.target),
  };
}

/** Round by round: a machine that slows down for a while slows both sides of a round. */
function comparisons({ ours, theirs, compare }: Row): number[] {
  if (compare === 'value') return [...ours];
  if (ours.length !== theirs.length) throw new Error('a comparison needs as many rounds of both');
  return ours.map((value, round) => {
    const other = theirs[round] ?? Number.NaN;
    return compare === 'ratio' ? value / other : value - other;
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

/** The quantile by linear interpolation between the two nearest values; `fraction` is 0..1. Throws for no values. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new Error('no values');
  return below + (above - below) * (place - Math.floor(place));
}

/** A number with three significant digits, and no exponent. */
export function brief(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

export function targetText(row: Row): string {
  if (!row.target) return '';
  const sign = row.compare === 'ratio' ? 'x' : ` ${row.unit}`;
  return 'atLeast' in row.target
    ? `≥ ${brief(row.target.atLeast)}${sign}`
    : `≤ ${brief(row.target.atMost)}${sign}`;
}
