/**
 * Data is on the disk before its request is answered. A kill cannot test this, because the kernel keeps the
 * written data of a process. So the test reads the system calls of the server.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SystemCall, skip, traceCalls } from './faults.ts';
import { startLibrary } from './library.ts';
import { createUpload, IMAGES, PRODUCTS, sendRequest, type TestRequest } from './requests.ts';

const CALLS = 'fsync,fdatasync,link,linkat,rename,renameat,renameat2,pwrite64,write,writev';

test('bytes, then their name, then the record are on the disk before the answer', { skip }, async (t) => {
  const { server, journal, pictures } = await startLibrary(t);
  // The first request with a key writes a record too.
  assert.equal((await sendRequest(server.url, { path: IMAGES }))?.status, 200);

  /** Sends a request that changes a record. Asserts that the record is synced before the answer. */
  const trace = async (request: TestRequest) => {
    const tracing = await traceCalls(server.pid, CALLS);
    const answer = await sendRequest(server.url, request);
    const calls = await tracing.stop();
    assert.ok(answer && answer.status < 300, `${answer?.status}`);
    const answering = calls.find(({ text }) => /^writev?\(.*HTTP\/1\.1 2/.test(text));
    assert.ok(answering, 'the answer is among the calls');
    const before = calls.filter(({ end }) => end < answering.start);
    const log = calls.map((call) => call.text).join('\n');
    const first = (pattern: RegExp) =>
      before.find((call) => pattern.test(call.text)) ?? assert.fail(`${pattern}: ${log}`);
    const last = (pattern: RegExp) =>
      before.findLast((call) => pattern.test(call.text)) ?? assert.fail(`${pattern}: ${log}`);
    // SQLite writes frames to its log. The change is durable when the log is synced after them.
    const lastFrame = last(/^pwrite64\(.*vitrine\.db-wal/);
    const sync = last(/^f(data)?sync\(.*vitrine\.db-wal.*= 0/);
    assertOrder(log, lastFrame, sync);
    return { answer, first, last, lastFrame, log };
  };

  /** Sends an upload. Asserts that its bytes and their name are synced before the record. */
  const traceUpload = async (request: TestRequest, digest: string) => {
    const { answer, first, last, lastFrame, log } = await trace(request);
    const shard = `originals/${digest.slice(0, 2)}`;
    const link = first(new RegExp(`^link(at)?\\(.*${digest}`));
    const source = /staging\/[^"]+\.part/.exec(link.text)?.[0] ?? assert.fail(link.text);
    const firstFrame = first(/^pwrite64\(.*vitrine\.db-wal/);
    assertOrder(
      log,
      first(new RegExp(`^fsync\\(.*${source}>.*= 0`)),
      link,
      last(new RegExp(`^fsync\\(.*${shard}>.*= 0`)),
      firstFrame,
      lastFrame,
    );
    return answer;
  };

  const upload = pictures.get(journal.nextNumber());
  const { imageID } = (await traceUpload(createUpload(upload.bytes), upload.digest)).json();
  const update = pictures.get(journal.nextNumber());
  await traceUpload(createUpload(update.bytes, { replace: imageID }), update.digest);
  const image = `${IMAGES}/${imageID}`;
  const price = { currency: 'EUR', valueDecimal: '1' };
  for (const request of [
    { method: 'PUT', path: `${image}/metadata`, json: { altText: 'durable' } },
    { method: 'POST', path: PRODUCTS, json: { title: 'durable', basePrice: price, images: [{ imageID }] } },
    { method: 'DELETE', path: image },
    { method: 'POST', path: `${image}/enable` },
  ]) {
    await trace(request);
  }
});

/** Asserts that each call ended before the next one started. The last two may be the same call. */
function assertOrder(log: string, ...calls: readonly SystemCall[]): void {
  calls.slice(1).forEach((call, index) => {
    const before = calls[index];
    assert.ok(
      before === call || (before && before.end < call.start),
      `${before?.text} | ${call.text}\n${log}`,
    );
  });
}
