import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { WarmAnswers } from '../../../src/http/delivery/warm-answers.ts';
import { renditionPolicy } from '../../../src/http/shared/cache-policy.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const TRANSFORM = { width: 40, height: 40, fit: 'cover', position: 'center', dpr: 1 } as const;

let server: TestServer;
let image: ImageJSON;
before(async () => {
  server = await startServer();
  image = await server.addImage(await picture(1));
});
after(() => server.close());

test('a link with only conditional requests stays warm after its record is read again', async () => {
  const { delivery, publicImages } = server.app;
  const statuses: number[] = [];
  const warm = new WarmAnswers({
    publicImages,
    delivery,
    policy: renditionPolicy('public'),
    requestID: () => 'id',
    log: (_request, _id, status) => statuses.push(status),
  });
  const response = { writeHead: () => undefined, end: () => undefined } as unknown as ServerResponse;
  const planAgain = async () =>
    delivery.plan((await publicImages.find(image.publicID)).image, TRANSFORM, 'jpeg');
  const first = await planAgain();
  const url = `/images/${image.publicID}?size=40x40`;
  const request = {
    method: 'GET',
    url,
    headers: { 'if-none-match': first.etag },
    socket: {},
  } as unknown as IncomingMessage;

  warm.remember(request, first, { etag: first.etag });
  assert.equal(warm.answer(request, response), false, 'a 304 has no body headers');
  warm.remember(request, first, { etag: first.etag, 'content-type': 'image/jpeg' });
  assert.equal(warm.answer(request, response), true);

  // As after an expiry, the next look-up reads the record again.
  publicImages.forget(image.publicID);
  const second = await planAgain();
  assert.notEqual(second.image, first.image);
  assert.equal(warm.answer(request, response), false);
  warm.remember(request, second, { etag: second.etag });
  assert.equal(warm.answer(request, response), true);
  assert.deepEqual(statuses, [304, 304]);
});
