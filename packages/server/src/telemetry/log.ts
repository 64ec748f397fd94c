/**
 * Owns how the log looks: one JSON object a line, with a time in ISO 8601, and what may never stand in it.
 * Refuses to know what is worth logging, and where request IDs come from (callers bind them with `log.child`).
 */
import type { DestinationStream, LevelWithSilent, Logger } from 'pino';
import { pino, stdSerializers, stdTimeFunctions } from 'pino';

export type Log = Logger;

/** The one method of a log that those need who only ever warn. */
export interface WarnLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Longer strings are cut to this many UTF-16 units: what clients send must not fill the disk. */
const MAX_STRING = 256;
/** Stack traces are ours, and useless when cut as short. */
const MAX_STACK = 4_096;

// Any field whose name says that it may hold a credential, at any depth.
const SENSITIVE = /authorization|cookie|secret|token|password|credential/i;
const SENSITIVE_FIELD = new RegExp(`"[^"]*(?:${SENSITIVE.source})[^"]*":`, 'i');

// JSON leaves these as they are: DEL and C1 (a terminal obeys U+009B like ESC [), line separators, and the marks
// that turn the direction of what follows. In JSON they only occur inside strings, where an escape means the same.
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * A log that writes to standard output, or to `destination`. Errors go under `err` and are written with their
 * chain of causes. Fields named like credentials are written as `[redacted]`, and long strings are cut.
 */
export function createLog(options: { level: LevelWithSilent; destination?: DestinationStream }): Log {
  // Synchronous, so that the last words before a crash are not lost.
  const destination = options.destination ?? pino.destination({ dest: 1, sync: true });
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.errWithCause },
      // The finished line is the one place through which every field passes, bindings of children included.
      hooks: { streamWrite: cleanLine },
    },
    destination,
  );
}

/** The line as it may be written. Most lines need no second look: they are short and name nothing sensitive. */
function cleanLine(line: string): string {
  const clean = line.length <= MAX_STRING && !SENSITIVE_FIELD.test(line) ? line : rewrite(line);
  return clean.replace(UNSAFE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function rewrite(line: string): string {
  return `${JSON.stringify(JSON.parse(line, cleanField))}\n`;
}

function cleanField(name: string, value: unknown): unknown {
  if (SENSITIVE.test(name)) return '[redacted]';
  if (typeof value !== 'string') return value;
  const limit = name === 'stack' ? MAX_STACK : MAX_STRING;
  // A cut through a surrogate pair would leave half a character.
  return value.length <= limit ? value : `${value.slice(0, limit).toWellFormed()}…`;
}
