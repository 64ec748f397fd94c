/**
 * The log: one JSON object per line, with the time in ISO 8601. It redacts credentials and escapes control
 * characters. Callers bind request IDs with `log.child`.
 */
import type { DestinationStream, LevelWithSilent, Logger } from 'pino';
import { pino, stdSerializers, stdTimeFunctions } from 'pino';

export type Log = Logger;

/** The part of a log that services need. */
export interface WarnLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** The part of a log for a service whose failures end by themselves. */
export interface ServiceLog extends WarnLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/**
 * The longest string, in UTF-16 units. Longer ones are cut, so that data from clients cannot fill the disk.
 */
const MAX_STRING = 256;
/**
 * The longest stack trace, in UTF-16 units. Stack traces come from the server and are useless when cut early.
 */
const MAX_STACK = 4_096;

// Names of fields that may hold a credential, at any depth.
const SENSITIVE = /authorization|cookie|secret|token|password|credential/i;
const SENSITIVE_FIELD = new RegExp(`"[^"]*(?:${SENSITIVE.source})[^"]*":`, 'i');

// Characters that JSON does not escape: DEL and C1 (terminals treat U+009B like ESC [), line separators and
// marks that change the text direction. In JSON they occur only inside strings, where an escape has the same
// meaning.
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * A log that writes to standard output, or to `destination`. The field `err` takes an error, which is written
 * with its chain of causes. Fields with names of credentials are written as `[redacted]`, and long strings
 * are cut.
 */
export function createLog(options: { level: LevelWithSilent; destination?: DestinationStream }): Log {
  // Synchronous, so that the last lines before a crash are not lost.
  const destination = options.destination ?? pino.destination({ dest: 1, sync: true });
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.errWithCause },
      // Only the finished line has all fields, including bindings of child logs.
      hooks: { streamWrite: cleanLine },
    },
    destination,
  );
}

/**
 * Redacts, cuts and escapes a line. Most lines skip the rewrite: they are short and have no sensitive field.
 */
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
  // `toWellFormed` repairs a cut inside a surrogate pair.
  return value.length <= limit ? value : `${value.slice(0, limit).toWellFormed()}…`;
}
