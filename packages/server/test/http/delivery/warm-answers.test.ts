import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { WarmAnswers } from '../../../src/http/delivery/warm-answers.ts';
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

test('a link that is only ever asked about with If-None-Match stays warm when its record is read anew', async () => {
  const { delivery, publicImages } = server.app;
  const statuses: number[] = [];
  const warm = new WarmAnswers({
    publicImages,
    delivery,
    requestID: () => 'id',
    answered: (_request, _id, status) => statuses.push(status),
  });
  const response = { writeHead: () => undefined, end: () => undefined } as unknown as ServerResponse;
  const plan = async () => delivery.plan(await publicImages.find(image.publicID), TRANSFORM, 'jpeg');
  const first = await plan();
  const url = `/images/${image.publicID}?size=40x40`;
  const asking = {
    method: 'GET',
    url,
    headers: { 'if-none-match': first.etag },
    socket: {},
  } as unknown as IncomingMessage;

  warm.remember(asking, first, { etag: first.etag });
  assert.equal(warm.answer(asking, response), false, 'a 304 alone is not enough to answer from');
  warm.remember(asking, first, { etag: first.etag, 'content-type': 'image/jpeg' });
  assert.equal(warm.answer(asking, response), true);

  // As when it has expired: the next lookup reads another record of the same.
  publicImages.forget(image.publicID);
  const second = await plan();
  assert.notEqual(second.image, first.image);
  assert.equal(warm.answer(asking, response), false);
  warm.remember(asking, second, { etag: second.etag });
  assert.equal(warm.answer(asking, response), true);
  assert.deepEqual(statuses, [304, 304]);
});
