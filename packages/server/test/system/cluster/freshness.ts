/**
 * The pictures that a public link may show, and how long a shown picture was replaced for. Times are
 * milliseconds of one monotonic clock.
 */

export interface Version {
  readonly digest: string;
  /** When the request that writes it was sent. */
  readonly sentAt: number;
  /** When it was acknowledged. */
  doneAt?: number;
  /** Since when it is known that the link must not show it. Infinity: it may be the current picture. */
  endedAt: number;
}

/** The pictures of one image. */
export class PictureHistory {
  readonly #versions: Version[] = [];

  /** A request to show this picture was sent. */
  start(digest: string, now: number): Version {
    const version: Version = { digest, sentAt: now, endedAt: Number.POSITIVE_INFINITY };
    this.#versions.push(version);
    return version;
  }

  /** The request was acknowledged. Every picture whose request had been acknowledged before is replaced. */
  finish(version: Version, now: number): void {
    version.doneAt = now;
    for (const other of this.#versions) {
      const isEarlier = other.doneAt !== undefined && other.doneAt < version.sentAt;
      if (isEarlier) other.endedAt = Math.min(other.endedAt, now);
    }
  }

  /** The request was refused, so the link must never show the picture. */
  refuse(version: Version): void {
    this.#versions.splice(this.#versions.indexOf(version), 1);
  }

  /** No request is running, and the record has this picture. */
  settle(digest: string, now: number): void {
    for (const version of this.#versions) {
      if (version.digest === digest) version.doneAt ??= now;
      else version.endedAt = Math.min(version.endedAt, now);
    }
  }

  /** When the picture was replaced; Infinity if it may be current; undefined if no client wrote it so far. */
  endOf(digest: string, receivedAt: number): number | undefined {
    const version = this.#versions.find((each) => each.digest === digest);
    return version === undefined || version.sentAt > receivedAt ? undefined : version.endedAt;
  }
}

interface Window {
  readonly from: number;
  to: number;
}

/** When a node could not learn of changes, because it did not reach the database. */
export class Blindness {
  readonly #windows: Window[] = [];

  begin(now: number): void {
    this.#windows.push({ from: now, to: Number.POSITIVE_INFINITY });
  }

  end(now: number): void {
    for (const window of this.#windows) window.to = Math.min(window.to, now);
  }

  /**
   * Milliseconds for which a picture was stale when it was requested. The time until the node saw again is
   * not counted.
   * @returns undefined if the node was blind then
   */
  staleness(endedAt: number, requestedAt: number): number | undefined {
    let since = endedAt;
    for (const { from, to } of this.#windows) {
      if (from > requestedAt || to < endedAt) continue;
      if (to >= requestedAt) return undefined;
      since = Math.max(since, to);
    }
    return Math.max(0, requestedAt - since);
  }
}
