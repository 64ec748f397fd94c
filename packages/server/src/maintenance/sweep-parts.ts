/**
 * The parts of the sweep over the stored blobs. A part is all digests with the same start. It is small in a
 * large library, and the whole store in a small one. A position is the start of a digest too: the sweep has
 * passed all digests before it.
 */
import type { SweepPart, SweepPosition } from './records.ts';

/** The most images in a part, on average. An interrupted part is swept again from its start. */
const IMAGES_IN_PART = 10_000;

/** The store has as many parts as digits can name, up to 16 777 216. */
const MAX_DIGITS = 6;

/** Images that each run sweeps by default: some seconds. */
const DEFAULT_IMAGES = 100_000;

/** The default number of runs that sweep a large store once: a month of daily runs. */
const DEFAULT_RUNS = 30;

/** Digits of a position that are compared. The fraction then has 48 bits. */
const POSITION_DIGITS = 12;

/** The part of the store that a run sweeps by default, from above 0 to 1. */
export function defaultShare(images: number): number {
  return Math.min(1, Math.max(DEFAULT_IMAGES / images, 1 / DEFAULT_RUNS));
}

/** The number of digits that name a part. */
export function partDigits(images: number): number {
  let digits = 0;
  while (digits < MAX_DIGITS && images / 16 ** digits > IMAGES_IN_PART) digits += 1;
  return digits;
}

/**
 * The part at a position. If the position lies within it, because an earlier run had smaller parts, it is the
 * whole part.
 */
export function partAt({ round, passed }: SweepPosition, digits: number): SweepPart {
  const start = passed.padEnd(digits, '0').slice(0, digits);
  const next = Number.parseInt(`0${start}`, 16) + 1;
  const isLast = next === 16 ** digits;
  return {
    start,
    next: isLast
      ? { round: round + 1, passed: '' }
      : { round, passed: next.toString(16).padStart(digits, '0') },
  };
}

/** The position as a number of rounds. Its fraction is the part of all digests that the round has passed. */
export function roundsAt({ round, passed }: SweepPosition): number {
  const digits = passed.padEnd(POSITION_DIGITS, '0').slice(0, POSITION_DIGITS);
  return round + Number.parseInt(digits, 16) / 16 ** POSITION_DIGITS;
}

/** Gives the parts from a position on, until a share of the store is passed. */
export function partsOf(
  from: SweepPosition,
  share: number,
  digits: number,
): (position: SweepPosition) => SweepPart | undefined {
  const end = roundsAt(from) + share;
  return (position) => (roundsAt(position) < end ? partAt(position, digits) : undefined);
}
