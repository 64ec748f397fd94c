/**
 * The states that one image may have after changes of which some got no answer.
 * Crash tests compare the stored state with them.
 */

export interface ImageState {
  readonly digest: string;
  readonly altText: string | undefined;
  readonly disabled: boolean;
}

export type Effect =
  /** Other bytes. Without an alt text the image keeps its own. */
  | { readonly kind: 'update'; readonly digest: string; readonly altText?: string }
  | { readonly kind: 'update-metadata'; readonly altText: string | undefined }
  | { readonly kind: 'disable' }
  | { readonly kind: 'enable' };

export interface Change {
  readonly effect: Effect;
  /** From a clock that all changes share and that returns each time once. */
  readonly requestTime: number;
  /** From the same clock; undefined if there was no answer. */
  answerTime?: number;
  /** Undefined if there was no answer, or an answer that leaves the outcome open. */
  outcome?: Outcome;
}

export type Outcome = 'done' | 'rejected';

/** Applies an effect to a state. A disabled image rejects updates of bytes and metadata. */
export function applyEffect(
  state: ImageState,
  effect: Effect,
): { readonly state: ImageState; readonly outcome: Outcome } {
  switch (effect.kind) {
    case 'disable':
      return { state: { ...state, disabled: true }, outcome: 'done' };
    case 'enable':
      return { state: { ...state, disabled: false }, outcome: 'done' };
    case 'update-metadata':
      if (state.disabled) return { state, outcome: 'rejected' };
      return { state: { ...state, altText: effect.altText }, outcome: 'done' };
    case 'update': {
      if (state.disabled) return { state, outcome: 'rejected' };
      const { digest, altText = state.altText } = effect;
      return { state: { ...state, digest, altText }, outcome: 'done' };
    }
  }
}

/**
 * Lists the states in which some order of the changes can end. The order must explain all answers:
 * - A change that was answered before another was requested comes first.
 * - A change without an outcome happened completely or not at all.
 * @returns no states if no order explains the answers
 */
export function listPossibleStates(initial: ImageState, changes: readonly Change[]): ImageState[] {
  const states = new Map<string, ImageState>();
  const visited = new Set<string>();
  const visit = (state: ImageState, pending: readonly Change[]) => {
    const key = stateKey(state);
    const node = `${key} ${pending.map(({ requestTime }) => requestTime).join(' ')}`;
    if (visited.has(node)) return;
    visited.add(node);
    const answered = pending.filter(({ outcome }) => outcome !== undefined);
    if (answered.length === 0) states.set(key, state);
    const earliest = Math.min(...answered.map(({ answerTime = Number.POSITIVE_INFINITY }) => answerTime));
    for (const change of pending) {
      // Another pending change was answered before this one was requested, so it comes first.
      if (change.requestTime > earliest) continue;
      const next = applyEffect(state, change.effect);
      if (change.outcome !== undefined && change.outcome !== next.outcome) continue;
      visit(
        next.state,
        pending.filter((other) => other !== change),
      );
    }
  };
  visit(initial, changes);
  return [...states.values()];
}

/** A string that is equal for equal states. */
export function stateKey({ digest, altText, disabled }: ImageState): string {
  return JSON.stringify([digest, altText ?? null, disabled]);
}
