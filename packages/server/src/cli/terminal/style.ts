/**
 * Colours and weights of texts, only where a terminal shows them. `NO_COLOR` turns them off, `FORCE_COLOR`
 * turns them on: https://no-color.org, https://force-color.org.
 */
import { styleText } from 'node:util';
import type { CommandContext, Environment } from './context.ts';

const STYLES = ['bold', 'dim', 'red', 'green', 'yellow', 'cyan'] as const;

/** A function for each style. Without colours it returns the text unchanged. */
export type Styles = Readonly<Record<(typeof STYLES)[number], (text: string) => string>>;

/** The styles of standard output. */
export function stylesFor({ env, stdoutIsTTY }: Pick<CommandContext, 'env' | 'stdoutIsTTY'>): Styles {
  return stylesOf(hasColors(env, stdoutIsTTY));
}

/** The styles of standard error. */
export function errorStylesFor({ env, terminal }: Pick<CommandContext, 'env' | 'terminal'>): Styles {
  return stylesOf(hasColors(env, terminal.isTTY === true));
}

/** Whether a stream gets colours. @param isTTY whether it is a terminal. */
export function hasColors({ FORCE_COLOR, NO_COLOR, TERM }: Environment, isTTY: boolean): boolean {
  if (FORCE_COLOR !== undefined) return !['0', 'false'].includes(FORCE_COLOR);
  return isTTY && !NO_COLOR && TERM !== 'dumb';
}

function stylesOf(enabled: boolean): Styles {
  const entries = STYLES.map((style) => [
    style,
    // The decision is made above, from the environment of the context.
    (text: string) => (enabled ? styleText(style, text, { validateStream: false }) : text),
  ]);
  return Object.fromEntries(entries) as Styles;
}
