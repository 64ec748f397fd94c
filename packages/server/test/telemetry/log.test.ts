import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { LogLevel } from '../../src/config.ts';
import { AppError } from '../../src/errors.ts';
import { createLog, type Log } from '../../src/telemetry/log.ts';

/** Runs `use` with a log. @returns the raw lines, and the lines as JSON. */
function captureLog(use: (log: Log) => void, level: LogLevel = 'info') {
  const lines: string[] = [];
  use(createLog({ level, destination: { write: (line) => lines.push(line) } }));
  return { lines, entries: lines.map((line) => JSON.parse(line)) };
}

it('writes one JSON object per line, with level, time, bindings and message', () => {
  const { lines, entries } = captureLog((log) => {
    log.info('started');
    log.child({ requestID: 'r-1' }).warn({ status: 503 }, 'rejected');
  });
  assert.ok(lines.every((line) => line.endsWith('}\n') && line.indexOf('\n') === line.length - 1));
  assert.deepEqual(Object.keys(entries[0]), ['level', 'time', 'msg']);
  assert.equal(new Date(entries[0].time).toISOString(), entries[0].time);
  const { time: _, ...second } = entries[1];
  assert.deepEqual(second, { level: 'warn', requestID: 'r-1', status: 503, msg: 'rejected' });
});

it('omits lines below its level', () => {
  const logAllLevels = (log: Log) => {
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) log[level](level);
  };
  assert.deepEqual(
    captureLog(logAllLevels, 'warn').entries.map(({ msg }) => msg),
    ['warn', 'error', 'fatal'],
  );
  assert.deepEqual(captureLog(logAllLevels, 'silent').lines, []);
});

it('never writes credentials, at any depth and in any spelling', () => {
  const secret = 'hunter2';
  const { lines, entries } = captureLog((log) => {
    log.info({ authorization: secret });
    log.info({
      req: { headers: { Authorization: secret, cookie: secret, 'proxy-authorization': secret, host: 'h' } },
    });
    log.info({ res: { headers: { 'set-cookie': [secret] } } });
    log.info({
      deep: [{ down: { secretKey: secret, accessToken: secret, refresh_token: secret, password: secret } }],
    });
    log.child({ clientSecret: secret }).info({ secret: { parts: [secret] } });
    log.error({ err: Object.assign(new Error('rejected'), { token: secret }) });
  });
  assert.ok(!lines.join('').includes(secret), lines.join(''));
  assert.equal(entries[0].authorization, '[redacted]');
  assert.equal(entries[1].req.headers.host, 'h');
});

it('keeps values that only mention credentials', () => {
  const { entries } = captureLog((log) =>
    log.info({ reason: 'no authorization', path: '/oauth2/token' }, 'token expired'),
  );
  assert.equal(entries[0].reason, 'no authorization');
  assert.equal(entries[0].path, '/oauth2/token');
  assert.equal(entries[0].msg, 'token expired');
});

it('cuts long strings in fields, messages and arrays, and never inside a character', () => {
  const { lines, entries } = captureLog((log) => {
    log.info({ altText: 'a'.repeat(100_000), list: ['b'.repeat(300)] }, 'c'.repeat(5_000));
    log.info({ exact: 'd'.repeat(256), emoji: `${'e'.repeat(255)}😀😀` });
  });
  assert.equal(entries[0].altText, `${'a'.repeat(256)}…`);
  assert.equal(entries[0].list[0].length, 257);
  assert.equal(entries[0].msg.length, 257);
  assert.ok((lines[0]?.length ?? 0) < 1_000);
  assert.equal(entries[1].exact, 'd'.repeat(256));
  assert.ok(entries[1].emoji.isWellFormed());
});

it('escapes characters that control a terminal or end a line', () => {
  const hostile =
    '\u0000\u0007\u001b[2J\u007f\u009b31m\r\n{"level":"fatal"}\u2028\u2029\u202e\u2066\ufeff\ud800 "\\';
  const { lines, entries } = captureLog((log) => {
    log.info({ path: hostile }, hostile);
    log.info({ path: `${hostile}${'x'.repeat(300)}`, 'key\u009b': 1 });
  });
  for (const line of lines) {
    assert.doesNotMatch(line.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/);
    assert.ok(line.isWellFormed());
  }
  assert.equal(lines.length, 2);
  assert.equal(entries[0].path, hostile);
});

it('writes errors with their chain of causes', () => {
  const { entries } = captureLog((log) => {
    const disk = Object.assign(new Error('EIO: read'), { code: 'EIO' });
    const middle = new Error('reading failed', { cause: disk });
    log.error(
      { err: new AppError('unavailable', 'Try again', { cause: middle, retryAfter: 2 }) },
      'request failed',
    );
    log.error(new Error('alone'));
  });
  const { err, msg } = entries[0];
  assert.equal(msg, 'request failed');
  assert.deepEqual([err.message, err.code, err.retryAfter], ['Try again', 'unavailable', 2]);
  assert.deepEqual(
    [err.cause.message, err.cause.cause.message, err.cause.cause.code],
    ['reading failed', 'EIO: read', 'EIO'],
  );
  assert.match(err.stack, /log\.test\.ts/);
  assert.equal(entries[1].err.message, 'alone');
});

it('writes circular and unusual values without an error', () => {
  const circular: Record<string, unknown> = { secret: 'x' };
  circular.self = circular;
  const error = new Error('round');
  error.cause = error;
  const { lines, entries } = captureLog((log) => {
    log.info({ circular, big: 1n, nothing: undefined, fn: () => 1, symbol: Symbol('x') });
    log.info({ secretThing: { toJSON: () => assert.fail('thrown by toJSON') } });
    log.error({ err: error });
  });
  assert.equal(lines.length, entries.length);
  assert.equal(entries[0].circular.secret, '[redacted]');
});
