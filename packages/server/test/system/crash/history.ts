/**
 * What one image may look like after changes of which some were answered and some were cut off: every state that some
 * order of them explains, in which a change that was answered before another was asked for comes first, and a change
 * without an answer happened or did not. Refuses to know servers, databases and files.
 */

export interface ImageState {
  readonly digest: string;
  readonly altText: string | undefined;
  readonly disabled: boolean;
}

export type Effect =
  /** Other bytes; without an alt text the present one stays. */
  | { readonly kind: 'update'; readonly digest: string; readonly altText?: string }
  | { readonly kind: 'describe'; readonly altText: string | undefined }
  | { readonly kind: 'disable' }
  | { readonly kind: 'enable' };

export interface Change {
  readonly effect: Effect;
  /** When it was asked for, on any clock that all changes share and that gives no time twice. */
  readonly asked: number;
  /** When it was answered, on the same clock; undefined: never. */
  answered?: number;
  /** What the answer was; undefined: there was none, or one that leaves it open. */
  outcome?: 'done' | 'refused';
}

/** What the effect makes of the state. A disabled image refuses to be changed. */
export function applied(
  state: ImageState,
  effect: Effect,
): { readonly state: ImageState; readonly outcome: 'done' | 'refused' } {
  switch (effect.kind) {
    case 'disable':
      return { state: { ...state, disabled: true }, outcome: 'done' };
    case 'enable':
      return { state: { ...state, disabled: false }, outcome: 'done' };
    case 'describe':
      if (state.disabled) return { state, outcome: 'refused' };
      return { state: { ...state, altText: effect.altText }, outcome: 'done' };
    case 'update': {
      if (state.disabled) return { state, outcome: 'refused' };
      const { digest, altText = state.altText } = effect;
      return { state: { ...state, digest, altText }, outcome: 'done' };
    }
  }
}

/** All states that the changes may have left behind. None: no order of them explains the answers that were given. */
export function possibleStates(initial: ImageState, changes: readonly Change[]): ImageState[] {
  const found = new Map<string, ImageState>();
  const seen = new Set<string>();
  const visit = (state: ImageState, pending: readonly Change[]) => {
    const name = nameOf(state);
    const place = `${name} ${pending.map(({ asked }) => asked).join(' ')}`;
    if (seen.has(place)) return;
    seen.add(place);
    const answered = pending.filter(({ outcome }) => outcome !== undefined);
    if (answered.length === 0) found.set(name, state);
    const earliest = Math.min(...answered.map(({ answered: at = Number.POSITIVE_INFINITY }) => at));
    for (const change of pending) {
      // Somebody was told of another change before this one was asked for: that one came first.
      if (change.asked > earliest) continue;
      const next = applied(state, change.effect);
      if (change.outcome !== undefined && change.outcome !== next.outcome) continue;
      visit(
        next.state,
        pending.filter((other) => other !== change),
      );
    }
  };
  visit(initial, changes);
  return [...found.values()];
}

/** Equal for equal states. */
export function nameOf({ digest, altText, disabled }: ImageState): string {
  return JSON.stringify([digest, altText ?? null, disabled]);
}
