/**
 * Tests malformed and unknown responses from a faulty server.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APIError, DuplicateImageError, ResponseValidationError, Vitrine } from '@vitrine/client';
import { type FaultyServer, IMAGE, startFaulty } from './faulty.ts';

const accountID = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
const { imageID } = IMAGE;
const image = new Uint8Array([1, 2, 3]);

let server: FaultyServer;
let vitrine: Vitrine;
before(async () => {
  server = await startFaulty();
  vitrine = new Vitrine({ serverURL: server.url, security: { username: 'a', password: 'b' } });
});
after(() => server.close());

const imageReply = { status: 200, body: IMAGE };

describe('a response', () => {
  test('may have unknown fields', async () => {
    server.answer({ status: 200, body: { ...IMAGE, mood: 'blue' } });
    const { result } = await vitrine.images.getMetadata({ accountID, imageID });
    assert.equal((result as { mood?: string }).mood, 'blue');
    assert.equal(result.createdOn.toISOString(), IMAGE.createdOn);
  });

  test('with an invalid body is a ResponseValidationError with the reason', async () => {
    for (const [body, message] of [
      ['<h1>Welcome to the hotel WLAN', /the server answered 200 with an invalid response: .*JSON/],
      [null, /an image was expected/],
      [[IMAGE], /an image was expected/],
      [{ ...IMAGE, imageID: 7 }, /imageID must be a string/],
      [{ ...IMAGE, createdOn: 'yesterday' }, /createdOn must be a date and time/],
    ] as const) {
      server.answer({ status: 200, body: body ?? 'null' });
      await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }), (error) => {
        assert.ok(error instanceof ResponseValidationError);
        assert.match(error.message, message);
        return true;
      });
    }
    server.answer(imageReply);
    await assert.rejects(vitrine.images.list({ accountID }), /an array was expected/);
  });

  test('with an error status and an unexpected body is a plain APIError with a shortened message', async () => {
    const page = 'x'.repeat(100_000);
    for (const reply of [
      { status: 409, body: page },
      { status: 422, body: { error: 'no' } },
      { status: 400, body: { wrong: true } },
      { status: 409, body: [] },
    ]) {
      server.answer(reply);
      await assert.rejects(vitrine.images.upload({ accountID, image }), (error) => {
        assert.ok(error instanceof APIError && error.name === 'APIError');
        assert.equal(error.status, reply.status);
        assert.ok(error.message.length < 400);
        return true;
      });
    }
    server.answer({ status: 500, body: '', headers: { 'x-request-id': 'abc-12345' } });
    await assert.rejects(vitrine.ping.ping(), {
      message: 'the server answered 500',
      requestId: 'abc-12345',
    });
  });

  test('for a duplicate is a DuplicateImageError even if its image is malformed', async () => {
    server.answer({ status: 409, body: { error: 'already here', imageID, createdOn: 'never' } });
    await assert.rejects(
      vitrine.images.upload({ accountID, image }),
      (error) => error instanceof DuplicateImageError && error.existing === undefined,
    );
  });
});

describe('a list', () => {
  const images = (...numbers: number[]) => ({
    status: 200,
    body: numbers.map((number) => ({ ...IMAGE, imageID: String(number) })),
  });
  const listIDs = async () => {
    const ids: string[] = [];
    for await (const image of vitrine.images.list({ accountID, count: 3 })) ids.push(image.imageID);
    return ids.join(' ');
  };

  test('without a total ends at the first page without new items', async () => {
    server.answer(images(1, 2), images(2, 3), images(4), images());
    assert.equal(await listIDs(), '1 2 3 4');
    assert.deepEqual(
      server.received.map(({ url }) => new URL(url, server.url).searchParams.get('skip')),
      ['0', '2', '4', '5'],
    );
  });

  test('of a server that ignores skip ends after the second page', async () => {
    server.answer(images(1, 2, 3));
    assert.equal(await listIDs(), '1 2 3');
    assert.equal(server.received.length, 2);
  });

  test('yields every remaining item in order when items leave during the iteration', async () => {
    const page = (total: number, ...numbers: number[]) => ({
      ...images(...numbers),
      headers: { 'x-total-count': String(total) },
    });
    // Images 1 to 8. The first three leave after the first page, and one more leaves later.
    server.answer(page(8, 1, 2, 3), page(5, 7, 8), page(5, 4, 5, 6), page(4, 8), page(4, 6, 7, 8));
    assert.equal(await listIDs(), '1 2 3 4 5 6 7 8');
    assert.deepEqual(
      server.received.map(({ url }) => new URL(url, server.url).searchParams.get('skip')),
      ['0', '3', '0', '3', '2'],
    );
  });
});
