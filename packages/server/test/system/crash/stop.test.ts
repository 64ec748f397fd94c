/**
 * SIGTERM while clients write: the server finishes running requests and exits with 0. A request without an
 * answer leaves no trace.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listPossibleStates } from './check/history.ts';
import { startLibrary } from './library.ts';

const skip = process.platform === 'linux' ? false : 'process groups are read from /proc';

test('a stop under load finishes running requests, and unanswered ones leave no trace', {
  skip,
}, async (t) => {
  const library = await startLibrary(t);
  const { journal, server } = library;
  let countAtSignal: number | undefined;
  // The writers continue until the server closes its port.
  await library.writeUntil(() => {
    if (countAtSignal === undefined && journal.acknowledgedCount >= 40) {
      countAtSignal = journal.acknowledgedCount;
      server.signal('SIGTERM');
    }
    return false;
  });
  assert.equal(await server.exited, 0);
  assert.deepEqual(library.problems, []);
  assert.ok(journal.acknowledgedCount > (countAtSignal ?? Infinity), 'running requests were finished');
  const unansweredUploads = [...journal.pendingUploads.keys()];
  const undecided = [...journal.images.values()].filter(
    ({ baseline, changes }) => listPossibleStates(baseline, changes).length > 1,
  );
  await library.restart();
  const stored = await library.readImages();
  assert.deepEqual(
    stored.filter(({ digest }) => unansweredUploads.includes(digest)),
    [],
    'an upload without an answer left a trace',
  );
  for (const { imageID, baseline, changes } of undecided) {
    const answered = changes.filter(({ outcome }) => outcome !== undefined);
    const [expected] = listPossibleStates(baseline, answered);
    const actual = stored.find((image) => image.imageID === imageID);
    assert.deepEqual(
      actual && [actual.digest, actual.altText, actual.disabled],
      expected && [expected.digest, expected.altText, expected.disabled],
    );
  }
  assert.deepEqual((await library.inspect({ allImages: true })).slice(0, 5), []);
});
