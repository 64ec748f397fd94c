/**
 * Spans, as a real OpenTelemetry SDK gets them that was registered before the server started.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { jpeg } from '../support/pictures.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';

const exporter = new InMemorySpanExporter();
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const traceparent = `00-${TRACE}-${PARENT}-01`;

const lines: string[] = [];
let server: TestServer;
let image: ImageJSON;

before(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  );
  server = await startServer({}, { logTo: { write: (line) => lines.push(line) } });
  image = await server.addImage(await jpeg({ width: 1_600, height: 1_200 }));
});
beforeEach(() => exporter.reset());
after(async () => {
  await server.close();
  trace.disable();
  propagation.disable();
  context.disable();
});

/** Acts once as part of a trace, and waits until the server has ended the request. */
async function traced(act: () => Promise<Response>): Promise<ReadableSpan[]> {
  const ended = once(server.app.http.server, 'request').then(([, response]) => once(response, 'close'));
  const response = await act();
  await response.arrayBuffer();
  await ended;
  return exporter.getFinishedSpans();
}

/** Spans by name, each below its parent, as indented lines. */
function tree(spans: readonly ReadableSpan[], parent = PARENT, depth = 0): string[] {
  return spans
    .filter((span) => span.parentSpanContext?.spanId === parent)
    .toSorted((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
    .flatMap((span) => [
      '  '.repeat(depth) + span.name,
      ...tree(spans, span.spanContext().spanId, depth + 1),
    ]);
}

describe('where an SDK is registered', () => {
  test('an upload is one span of its caller’s trace, and all that it does is below it', async () => {
    const spans = await traced(async () =>
      server.upload(await jpeg({ width: 1_600, height: 1_200, seed: 2 }), { headers: { traceparent } }),
    );
    assert.ok(spans.every((span) => span.spanContext().traceId === TRACE));
    assert.equal(spans.length, tree(spans).length, 'each is below the request');
    assert.deepEqual(
      tree(spans).filter((line) => !/ blob (put|stat|replace)/.test(line)),
      [
        'POST /accounts/:accountID/images',
        '  database keys.find',
        '  database accounts.find',
        '  receive',
        '  ingest upload',
        '    database images.findByDigest',
        '    decode',
        '    database images.insert',
      ],
    );
    const puts = tree(spans).filter((line) => line === '    blob put').length;
    assert.ok(puts >= 2, `the original and its rungs: ${puts}`);
    const request = spans.find(({ name }) => name.startsWith('POST'));
    assert.equal(request?.kind, SpanKind.SERVER);
    assert.equal(request?.attributes['http.route'], '/accounts/:accountID/images');
    assert.equal(request?.attributes['http.response.status_code'], 201);
    assert.equal(request?.status.code, SpanStatusCode.UNSET);
    const requestID = String(request?.attributes['vitrine.request_id']);
    const line = lines.find((line) => line.includes(requestID) && line.includes('"answered"')) ?? '{}';
    assert.equal(JSON.parse(line).traceID, TRACE, 'the log leads to the trace');
  });

  test('what comes after a body that was waited for still belongs to its request', async () => {
    const body = JSON.stringify({ altText: 'x' });
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const begun = once(server.app.http.server, 'request');
    socket
      .resume()
      .write(
        `PUT /accounts/${ACCOUNT}/images/${image.imageID}/metadata HTTP/1.1\r\nHost: x\r\nTraceparent: ${traceparent}\r\n` +
          `Authorization: ${server.authorization}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
      );
    const [, response] = await begun;
    // By then the route waits for the body.
    await server.fetch('/ping');
    socket.write(body);
    await once(response, 'close');
    socket.destroy();
    const spans = exporter.getFinishedSpans();
    assert.ok(tree(spans).includes('  database images.describe'), tree(spans).join('\n'));
  });

  test('a rendition that is made has a span that says from what, and in which format', async () => {
    const get = () => fetch(`${image.link}?size=321x321`, { headers: { traceparent, accept: 'image/webp' } });
    const spans = await traced(get);
    const render = spans.find(({ name }) => name === 'render');
    assert.deepEqual(render?.attributes, { 'vitrine.from': 'rung', 'vitrine.format': 'webp' });
    assert.ok(tree(spans).includes('  render') || tree(spans).includes('    render'), tree(spans).join('\n'));
    exporter.reset();
    await (await get()).arrayBuffer();
    assert.deepEqual(exporter.getFinishedSpans(), [], 'what is answered ahead of the router has none');
  });

  test('without a parent a request begins a trace of its own', async () => {
    const spans = await traced(() => server.fetch('/ping'));
    const request = spans.find(({ name }) => name === 'GET /ping');
    assert.equal(request?.parentSpanContext, undefined);
    assert.notEqual(request?.spanContext().traceId, TRACE);
  });

  test('within a span that somebody else made of the same request, it is below that', async () => {
    const outer = trace.getTracer('another').startSpan('outer');
    await context.with(trace.setSpan(context.active(), outer), async () => {
      await server.app.http.inject({ url: '/livez', headers: { traceparent } });
    });
    outer.end();
    const request = exporter.getFinishedSpans().find(({ name }) => name === 'GET /livez');
    assert.equal(request?.parentSpanContext?.spanId, outer.spanContext().spanId);
  });

  test('what a client did wrong is no error of the server; what failed is, with its cause', async () => {
    const wrong = await traced(() => server.upload(Buffer.from('no picture'), { headers: { traceparent } }));
    assert.ok(wrong.every(({ status }) => status.code === SpanStatusCode.UNSET));
    const ingest = wrong.find(({ name }) => name === 'ingest upload');
    assert.equal(ingest?.attributes['vitrine.outcome'], 'invalid-image');

    exporter.reset();
    const other = await server.addImage(await jpeg({ seed: 3 }));
    exporter.reset();
    await rm(join(server.folder, 'blobs', 'originals'), { recursive: true });
    const failed = await traced(() => fetch(`${other.link}?size=99x98`, { headers: { traceparent } }));
    const request = failed.find(({ name }) => name === 'GET /images/:publicID');
    assert.equal(request?.status.code, SpanStatusCode.ERROR);
    assert.equal(request?.attributes['error.type'], 'unavailable');
    assert.match(String(request?.events[0]?.attributes?.['exception.message']), /cannot be read/);
    assert.equal(failed.find(({ name }) => name === 'render')?.status.code, SpanStatusCode.ERROR);
  });

  test('no span names a secret', async () => {
    const spans = await traced(() => server.fetch('/ping', { headers: { traceparent } }));
    const text = JSON.stringify(spans.map(({ name, attributes, events }) => [name, attributes, events]));
    assert.equal(text.includes(server.authorization.slice('Basic '.length)), false);
  });
});
