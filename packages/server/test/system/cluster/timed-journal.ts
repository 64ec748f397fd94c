/** A journal that also knows since when each picture may be shown. */
import type { Change, Effect, Outcome } from '../crash/check/history.ts';
import { type ImageEntry, Journal } from '../crash/journal.ts';
import { PictureHistory, type Version } from './freshness.ts';

export class TimedJournal extends Journal {
  readonly #histories = new Map<string, PictureHistory>();
  readonly #versions = new Map<Change, { readonly history: PictureHistory; readonly version: Version }>();

  /** The pictures of an image. */
  historyOf({ imageID }: ImageEntry): PictureHistory | undefined {
    return this.#histories.get(imageID);
  }

  override addObservedImage(...parameters: Parameters<Journal['addObservedImage']>): ImageEntry {
    const [{ imageID }, { digest }] = parameters;
    const history = new PictureHistory();
    history.finish(history.start(digest, 0), performance.now());
    this.#histories.set(imageID, history);
    return super.addObservedImage(...parameters);
  }

  override startChange(image: ImageEntry, effect: Effect): Change {
    const change = super.startChange(image, effect);
    const history = this.historyOf(image);
    if (effect.kind === 'update' && history) {
      this.#versions.set(change, { history, version: history.start(effect.digest, performance.now()) });
    }
    return change;
  }

  override finishChange(change: Change, outcome: Outcome): void {
    const { history, version } = this.#versions.get(change) ?? {};
    if (version && outcome === 'done') history?.finish(version, performance.now());
    else if (version) history?.refuse(version);
    super.finishChange(change, outcome);
  }

  override setBaseline(observed: Parameters<Journal['setBaseline']>[0]): void {
    for (const [imageID, { digest }] of observed) {
      this.#histories.get(imageID)?.settle(digest, performance.now());
    }
    this.#versions.clear();
    super.setBaseline(observed);
  }
}
