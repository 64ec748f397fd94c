/**
 * SIGTERM while a library is written to: every request is answered or leaves no trace, and the process ends with 0.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { possibleStates } from './history.ts';
import { startLibrary } from './library.ts';

const skip = process.platform === 'linux' ? false : 'process groups are looked up in /proc';

test('a stop under load answers or refuses: what was not answered did not happen', { skip }, async (t) => {
  const library = await startLibrary(t);
  const { journal, server } = library;
  let atSignal: number | undefined;
  // The writers go on until the port is closed to them.
  await library.writeUntil(() => {
    if (atSignal === undefined && journal.acknowledged >= 40) {
      atSignal = journal.acknowledged;
      server.signal('SIGTERM');
    }
    return false;
  });
  assert.equal(await server.exited, 0);
  assert.deepEqual(library.complaints, []);
  assert.ok(journal.acknowledged > (atSignal ?? Infinity), 'what ran was finished');
  const open = { uploads: [...journal.openUploads.keys()], products: [...journal.openProducts.keys()] };
  const undecided = [...journal.images.values()].filter(
    ({ settled, changes }) => possibleStates(settled, changes).length > 1,
  );
  await library.restart();
  const stored = await library.stored();
  assert.deepEqual(
    stored.filter(({ digest }) => open.uploads.includes(digest)),
    [],
    'an upload without an answer left a trace',
  );
  for (const { imageID, settled, changes } of undecided) {
    const answered = changes.filter(({ outcome }) => outcome !== undefined);
    const [state] = possibleStates(settled, answered);
    const now = stored.find((image) => image.imageID === imageID);
    assert.deepEqual(
      now && [now.digest, now.altText, now.disabled],
      state && [state.digest, state.altText, state.disabled],
    );
  }
  assert.deepEqual((await library.inspect({ whole: true })).slice(0, 5), []);
});
