import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTelemetry } from '../../src/telemetry/observer.ts';
import { parseMetrics } from '../support/metrics.ts';

test('a failure counts as one that a client was told of, and not where the client had gone', async () => {
  const observer = await openTelemetry('0.0.0');
  for (const status of [503, 499]) {
    const request = observer.request({ method: 'GET', headers: {} } as Parameters<
      typeof observer.request
    >[0]);
    request.failed('unavailable', new Error('a disk'));
    request.ended({ method: 'GET', route: '/images/:publicID', status });
  }
  const readings = parseMetrics((await observer.metrics()).text);
  assert.deepEqual(readings.all('vitrine_http_errors_total'), [
    'vitrine_http_errors_total{status="503",reason="unavailable"} 1',
  ]);
});
