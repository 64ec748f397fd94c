/**
 * `GET /metrics`: correct counts, no names of clients, and credentials for remote clients.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { DOCUMENT } from '../../../src/http/openapi.ts';
import { basicOf, createKey } from '../../support/administration.ts';
import { type MetricValues, readMetrics } from '../../support/metrics.ts';
import { picture } from '../../support/sample.ts';
import {
  ACCOUNT,
  type ImageJSON,
  KEY,
  startServer,
  type TestServer,
  uploadForm,
} from '../../support/server.ts';

const ROUTE = '/images/:publicID';

describe('/metrics', () => {
  let server: TestServer;
  let image: ImageJSON;
  before(async () => {
    server = await startServer();
    image = await server.addImage(await picture(1), { metadata: { altText: 'a-text-of-a-client' } });
  });
  after(() => server.close());

  /** The increase of each series while `act` runs. */
  async function measure(act: () => Promise<unknown>) {
    const earlier = await readMetrics(server);
    await act();
    const later = await readMetrics(server);
    return (...series: Parameters<MetricValues['value']>) =>
      later.value(...series) - earlier.value(...series);
  }

  test('counts and times requests by method, route pattern and status class', async () => {
    const increase = await measure(async () => {
      await server.fetch(`/accounts/${ACCOUNT}/images`);
      await server.fetch(`/accounts/${ACCOUNT}/images/${image.imageID}`);
      await server.fetch(`/accounts/${ACCOUNT}/images/unknown`);
      await fetch(`${server.url}/accounts/${ACCOUNT}/images`);
    });
    const list = { method: 'GET', route: '/accounts/:accountID/images' };
    const one = { method: 'GET', route: '/accounts/:accountID/images/:imageID' };
    for (const [labels, count] of [
      [{ ...list, status: '2xx' }, 1],
      [{ ...list, status: '4xx' }, 1],
      [{ ...one, status: '2xx' }, 1],
      [{ ...one, status: '4xx' }, 1],
    ] as const) {
      assert.equal(increase('vitrine_http_requests_total', labels), count, JSON.stringify(labels));
      assert.equal(increase('vitrine_http_request_duration_seconds_count', labels), count);
      assert.ok(increase('vitrine_http_request_duration_seconds_sum', labels) > 0);
      assert.equal(
        increase('vitrine_http_request_duration_seconds_bucket', { ...labels, le: '+Inf' }),
        count,
      );
    }
    assert.equal(
      increase('vitrine_database_duration_seconds_count', { operation: 'images.list', outcome: 'ok' }),
      1,
    );
  });

  test('has one series for all unknown paths and methods, and names no path', async () => {
    for (let n = 0; n < 60; n += 1)
      await fetch(`${server.url}/probe-${n}/../x-${n}?${n}`, { method: 'PROPFIND' });
    const { text, all } = await readMetrics(server);
    assert.deepEqual(
      all('vitrine_http_requests_total').filter((series) => series.includes('"none"')),
      ['vitrine_http_requests_total{method="other",route="none",status="4xx"} 60'],
    );
    assert.doesNotMatch(text, /probe-|x-1/);
  });

  test('counts deliveries by source, including those ahead of the router', async () => {
    const link = `${image.link}?size=77x77`;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const request = async (headers = {}) => {
      const [response] = await once(get(link, { agent, headers }), 'response');
      response.resume();
      await once(response, 'end');
      return response;
    };
    const increase = await measure(async () => {
      const first = await request();
      await request();
      await request();
      await request({ 'if-none-match': first.headers.etag });
    });
    agent.destroy();
    const from = (place: string) => increase('vitrine_deliveries_total', { from: place });
    assert.deepEqual(
      ['warm', 'memory', 'disk', 'rung', 'original'].map(from),
      [2, 0, 0, 0, 1],
      'the picture is too small for a ladder',
    );
    const labels = { method: 'GET', route: ROUTE };
    assert.equal(increase('vitrine_http_requests_total', { ...labels, status: '2xx' }), 3);
    assert.equal(increase('vitrine_http_requests_total', { ...labels, status: '3xx' }), 1);
    assert.equal(increase('vitrine_http_request_duration_seconds_count', { ...labels, status: '2xx' }), 1);
    const render = { from: 'original', format: 'jpeg', outcome: 'ok' };
    assert.equal(increase('vitrine_render_duration_seconds_count', render), 1);
    assert.equal(increase('vitrine_task_wait_duration_seconds_count', { task: 'render' }), 1);
    assert.ok((await readMetrics(server)).value('vitrine_cache_bytes', { tier: 'memory' }) > 0);
  });

  test('counts uploads by outcome, and their stored bytes', async () => {
    const bytes = await picture(2);
    const increase = await measure(async () => {
      assert.equal((await server.upload(bytes)).status, 201);
      assert.equal((await server.upload(bytes)).status, 409);
      assert.equal((await server.upload(Buffer.from('no picture'))).status, 422);
    });
    const countOf = (outcome: string) =>
      increase('vitrine_ingest_duration_seconds_count', { operation: 'upload', outcome });
    assert.deepEqual(['ok', 'duplicate', 'invalid-image'].map(countOf), [1, 1, 1]);
    assert.equal(increase('vitrine_ingested_bytes_total', { operation: 'upload' }), bytes.length);
    assert.equal(increase('vitrine_upload_receive_duration_seconds_count', { outcome: 'ok' }), 3);
    assert.equal(increase('vitrine_decode_duration_seconds_count', { outcome: 'ok' }), 1);
    assert.equal(increase('vitrine_blob_duration_seconds_count', { operation: 'put', outcome: 'ok' }), 1);
  });

  test('counts a client that went away as 4xx, and leaves nothing in flight', async () => {
    const clientGone = { method: 'POST', route: '/accounts/:accountID/images', status: '4xx' };
    const before = await readMetrics(server);
    const form = new Response(uploadForm(await picture(3)));
    const body = Buffer.from(await form.arrayBuffer());
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const requested = once(server.app.http.server, 'request');
    socket.write(
      `POST /accounts/${ACCOUNT}/images HTTP/1.1\r\nHost: x\r\nAuthorization: ${server.authorization}\r\n` +
        `Content-Type: ${form.headers.get('content-type')}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    socket.write(body.subarray(0, 100));
    const [, response] = await requested;
    assert.equal((await readMetrics(server)).value('vitrine_http_requests_in_flight'), 2);
    socket.destroy();
    await once(response, 'close');
    const later = await readMetrics(server);
    assert.equal(later.value('vitrine_http_requests_in_flight'), 1, 'the request for the metrics');
    assert.equal(
      later.value('vitrine_http_requests_total', clientGone) -
        before.value('vitrine_http_requests_total', clientGone),
      1,
    );
  });

  test('counts malformed requests', async () => {
    const increase = await measure(async () => {
      const { hostname, port } = new URL(server.url);
      for (const text of ['nonsense\r\n\r\n', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n']) {
        const socket = connect(Number(port), hostname);
        socket.resume().end(text);
        await once(socket, 'close');
      }
    });
    assert.equal(increase('vitrine_http_malformed_total'), 2);
  });

  test('reports the process and the build', async () => {
    const { value, all } = await readMetrics(server);
    assert.ok(value('process_resident_memory_bytes') > 10_000_000);
    assert.equal(all('nodejs_eventloop_lag_p99_seconds').length, 1);
    assert.deepEqual(all('vitrine_build_info'), [
      `vitrine_build_info{version="${DOCUMENT.info.version}",node="${process.versions.node}"} 1`,
    ]);
    assert.ok(value('vitrine_workers') >= 1);
    assert.deepEqual(all('vitrine_tasks_waiting'), ['vitrine_tasks_waiting{} 0']);
    assert.deepEqual(all('vitrine_tasks_waiting_cost_seconds'), ['vitrine_tasks_waiting_cost_seconds{} 0']);
  });

  test('names no account, key, image or text of a client', async () => {
    const { text } = await readMetrics(server);
    for (const name of [
      ACCOUNT,
      KEY.publicKey,
      KEY.secretKey,
      image.imageID,
      image.publicID,
      'a-text-of-a-client',
      server.folder,
    ]) {
      assert.equal(text.includes(name), false, name);
    }
  });

  test('counts rejected requests by reason', async () => {
    const limited = await startServer({ VITRINE_RATE_LIMIT: '1', VITRINE_SIZE_BUDGET: '1' });
    try {
      const image = await limited.addImage(await picture(1));
      const statuses = await Promise.all(
        Array.from({ length: 8 }, async () => (await limited.fetch('/ping')).status),
      );
      const refused = statuses.filter((status) => status === 429).length;
      assert.ok(refused > 0);
      const { value } = await readMetrics(limited);
      const byAddress = value('vitrine_http_errors_total', { status: '429', reason: 'address-rate' });
      const byKey = value('vitrine_http_errors_total', { status: '429', reason: 'key-rate' });
      assert.equal(byAddress + byKey, refused);
      assert.ok(image.link);
    } finally {
      await limited.close();
    }
  });
});

describe('access to /metrics', () => {
  const FAR = { 'x-forwarded-for': '203.0.113.7' };
  const statusOf = async (server: TestServer, headers: Record<string, string>) => {
    const response = await fetch(new URL('/metrics', server.url), { headers });
    const text = await response.text();
    assert.equal(text.includes('vitrine_build_info'), response.status === 200);
    return response.status;
  };

  test('is open to near clients and to keys for all accounts', async () => {
    const server = await startServer();
    try {
      assert.equal(await statusOf(server, {}), 200);
      assert.equal(await statusOf(server, FAR), 401);
      const own = await createKey(server, ACCOUNT);
      assert.equal(await statusOf(server, { ...FAR, authorization: basicOf(own) }), 403);
      assert.equal(await statusOf(server, { ...FAR, authorization: server.authorization }), 200);
      const wrong = `${server.authorization.slice(0, -4)}AAA=`;
      assert.equal(await statusOf(server, { ...FAR, authorization: wrong }), 401);
    } finally {
      await server.close();
    }
  });

  for (const trusted of ['false', 'true', '1', '10.9.9.9']) {
    test(`needs credentials through a proxy, with VITRINE_TRUST_PROXY=${trusted}`, async () => {
      const server = await startServer({ VITRINE_TRUST_PROXY: trusted });
      try {
        assert.equal(await statusOf(server, {}), 200);
        for (const header of ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via']) {
          assert.equal(await statusOf(server, { [header]: '10.0.0.1' }), 401, header);
        }
      } finally {
        await server.close();
      }
    });
  }
});
