/**
 * The spans that a real OpenTelemetry SDK receives. The SDK is registered before the server starts.
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

/** Sends one request and waits until the server has finished it. @returns the finished spans. */
async function trackSpans(send: () => Promise<Response>): Promise<ReadableSpan[]> {
  const ended = once(server.app.http.server, 'request').then(([, response]) => once(response, 'close'));
  const response = await send();
  await response.arrayBuffer();
  await ended;
  return exporter.getFinishedSpans();
}

/** The names of the spans as indented lines, each below its parent. */
function formatTree(spans: readonly ReadableSpan[], parent = PARENT, depth = 0): string[] {
  return spans
    .filter((span) => span.parentSpanContext?.spanId === parent)
    .toSorted((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
    .flatMap((span) => [
      '  '.repeat(depth) + span.name,
      ...formatTree(spans, span.spanContext().spanId, depth + 1),
    ]);
}

describe('with a registered SDK', () => {
  test('an upload is a span in the trace of the client, with all its steps below it', async () => {
    const spans = await trackSpans(async () =>
      server.upload(await jpeg({ width: 1_600, height: 1_200, seed: 2 }), { headers: { traceparent } }),
    );
    assert.ok(spans.every((span) => span.spanContext().traceId === TRACE));
    assert.equal(spans.length, formatTree(spans).length, 'each span is below the request');
    assert.deepEqual(
      formatTree(spans).filter((line) => !/ blob (put|stat|replace)/.test(line)),
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
    const puts = formatTree(spans).filter((line) => line === '    blob put').length;
    assert.ok(puts >= 2, `the original and its rungs: ${puts}`);
    const request = spans.find(({ name }) => name.startsWith('POST'));
    assert.equal(request?.kind, SpanKind.SERVER);
    assert.equal(request?.attributes['http.route'], '/accounts/:accountID/images');
    assert.equal(request?.attributes['http.response.status_code'], 201);
    assert.equal(request?.status.code, SpanStatusCode.UNSET);
    const requestID = String(request?.attributes['vitrine.request_id']);
    const line = lines.find((line) => line.includes(requestID) && line.includes('"answered"')) ?? '{}';
    assert.equal(JSON.parse(line).traceID, TRACE, 'the log has the trace ID');
  });

  test('steps after a slow body belong to the span of their request', async () => {
    const body = JSON.stringify({ altText: 'x' });
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const requestStart = once(server.app.http.server, 'request');
    socket
      .resume()
      .write(
        `PUT /accounts/${ACCOUNT}/images/${image.imageID}/metadata HTTP/1.1\r\nHost: x\r\nTraceparent: ${traceparent}\r\n` +
          `Authorization: ${server.authorization}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
      );
    const [, response] = await requestStart;
    // When this request is answered, the route waits for the body.
    await server.fetch('/ping');
    socket.write(body);
    await once(response, 'close');
    socket.destroy();
    const spans = exporter.getFinishedSpans();
    assert.ok(formatTree(spans).includes('  database images.describe'), formatTree(spans).join('\n'));
  });

  test('a render has a span with its source and its format', async () => {
    const get = () => fetch(`${image.link}?size=321x321`, { headers: { traceparent, accept: 'image/webp' } });
    const spans = await trackSpans(get);
    const render = spans.find(({ name }) => name === 'render');
    assert.deepEqual(render?.attributes, { 'vitrine.from': 'rung', 'vitrine.format': 'webp' });
    assert.ok(
      formatTree(spans).includes('  render') || formatTree(spans).includes('    render'),
      formatTree(spans).join('\n'),
    );
    exporter.reset();
    await (await get()).arrayBuffer();
    assert.deepEqual(exporter.getFinishedSpans(), [], 'an answer ahead of the router has no span');
  });

  test('a request without a parent starts a new trace', async () => {
    const spans = await trackSpans(() => server.fetch('/ping'));
    const request = spans.find(({ name }) => name === 'GET /ping');
    assert.equal(request?.parentSpanContext, undefined);
    assert.notEqual(request?.spanContext().traceId, TRACE);
  });

  test('a request inside a span of another instrumentation is below that span', async () => {
    const outer = trace.getTracer('another').startSpan('outer');
    await context.with(trace.setSpan(context.active(), outer), async () => {
      await server.app.http.inject({ url: '/livez', headers: { traceparent } });
    });
    outer.end();
    const request = exporter.getFinishedSpans().find(({ name }) => name === 'GET /livez');
    assert.equal(request?.parentSpanContext?.spanId, outer.spanContext().spanId);
  });

  test('an error of the client is no error of a span, and a failure is one, with its cause', async () => {
    const rejected = await trackSpans(() =>
      server.upload(Buffer.from('not an image'), { headers: { traceparent } }),
    );
    assert.ok(rejected.every(({ status }) => status.code === SpanStatusCode.UNSET));
    const ingest = rejected.find(({ name }) => name === 'ingest upload');
    assert.equal(ingest?.attributes['vitrine.outcome'], 'invalid-image');

    exporter.reset();
    const other = await server.addImage(await jpeg({ seed: 3 }));
    exporter.reset();
    await rm(join(server.folder, 'blobs', 'originals'), { recursive: true });
    const failed = await trackSpans(() => fetch(`${other.link}?size=99x98`, { headers: { traceparent } }));
    const request = failed.find(({ name }) => name === 'GET /images/:publicID');
    assert.equal(request?.status.code, SpanStatusCode.ERROR);
    assert.equal(request?.attributes['error.type'], 'unavailable');
    assert.match(String(request?.events[0]?.attributes?.['exception.message']), /cannot be read/);
    assert.equal(failed.find(({ name }) => name === 'render')?.status.code, SpanStatusCode.ERROR);
  });

  test('no span contains a secret', async () => {
    const spans = await trackSpans(() => server.fetch('/ping', { headers: { traceparent } }));
    const text = JSON.stringify(spans.map(({ name, attributes, events }) => [name, attributes, events]));
    assert.equal(text.includes(server.authorization.slice('Basic '.length)), false);
  });
});
