/**
 * What `kill -9` cannot show, because the kernel keeps what a process wrote: that all is on the disk before a client is
 * told of it. Seen in the system calls of a whole server.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, IMAGES, PRODUCTS, type Question, uploading } from './asking.ts';
import { type SystemCall, skip, traceCalls } from './faults.ts';
import { startLibrary } from './library.ts';

const CALLS = 'fsync,fdatasync,link,linkat,rename,renameat,renameat2,pwrite64,write,writev';

test('bytes, then their name, then the record are on the disk before any change is answered', {
  skip,
}, async (t) => {
  const { server, journal, supply } = await startLibrary(t);
  // The first use of a key is written down as well.
  assert.equal((await ask(server.url, { path: IMAGES }))?.status, 200);

  /** The calls until the answer, and the answer. */
  const traced = async (question: Question) => {
    const tracing = await traceCalls(server.pid, CALLS);
    const answer = await ask(server.url, question);
    const calls = await tracing.stop();
    assert.ok(answer && answer.status < 300, `${answer?.status}`);
    const told = calls.find(({ text }) => /^writev?\(.*HTTP\/1\.1 2/.test(text));
    assert.ok(told, 'the answer is among the calls');
    const before = calls.filter(({ ended }) => ended < told.began);
    const text = calls.map((call) => call.text).join('\n');
    const first = (pattern: RegExp) =>
      before.find((call) => pattern.test(call.text)) ?? assert.fail(`${pattern}: ${text}`);
    const last = (pattern: RegExp) =>
      before.findLast((call) => pattern.test(call.text)) ?? assert.fail(`${pattern}: ${text}`);
    // In SQLite's log a change is the frames that are written, and durable once the file is synced after them.
    const recorded = last(/^pwrite64\(.*vitrine\.db-wal/);
    const durable = last(/^f(data)?sync\(.*vitrine\.db-wal.*= 0/);
    inOrder(text, recorded, durable);
    return { answer, first, last, recorded, text };
  };

  const bytes = async (question: Question, digest: string) => {
    const { answer, first, last, recorded, text } = await traced(question);
    const shard = `originals/${digest.slice(0, 2)}`;
    const named = first(new RegExp(`^link(at)?\\(.*${digest}`));
    const source = /staging\/[^"]+\.part/.exec(named.text)?.[0] ?? assert.fail(named.text);
    inOrder(
      text,
      first(new RegExp(`^fsync\\(.*${source}>.*= 0`)),
      named,
      last(new RegExp(`^fsync\\(.*${shard}>.*= 0`)),
      // The first of the record's frames.
      first(/^pwrite64\(.*vitrine\.db-wal/),
      recorded,
    );
    return answer;
  };

  const upload = supply.picture(journal.number());
  const { imageID } = (await bytes(uploading(upload.bytes), upload.digest)).json();
  const update = supply.picture(journal.number());
  await bytes(uploading(update.bytes, { replace: imageID }), update.digest);
  const image = `${IMAGES}/${imageID}`;
  const price = { currency: 'EUR', valueDecimal: '1' };
  for (const question of [
    { method: 'PUT', path: `${image}/metadata`, json: { altText: 'durable' } },
    { method: 'POST', path: PRODUCTS, json: { title: 'durable', basePrice: price, images: [{ imageID }] } },
    { method: 'DELETE', path: image },
    { method: 'POST', path: `${image}/enable` },
  ]) {
    await traced(question);
  }
});

/** Each call must have ended before the next one begins; the last two of them may be one. */
function inOrder(trace: string, ...calls: readonly SystemCall[]): void {
  calls.slice(1).forEach((call, index) => {
    const before = calls[index];
    assert.ok(
      before === call || (before && before.ended < call.began),
      `${before?.text} | ${call.text}\n${trace}`,
    );
  });
}
