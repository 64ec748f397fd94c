import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTelemetry } from '../../src/telemetry/observer.ts';
import { parseMetrics } from '../support/metrics.ts';

test('a failure is counted if the client received it, and not if the client had disconnected', async () => {
  const telemetry = await openTelemetry('0.0.0');
  for (const status of [503, 499]) {
    const request = telemetry.request({ method: 'GET', headers: {} } as Parameters<
      typeof telemetry.request
    >[0]);
    request.failed('unavailable', new Error('a disk'));
    request.ended({ method: 'GET', route: '/images/:publicID', status });
  }
  const metrics = parseMetrics((await telemetry.metrics()).text);
  assert.deepEqual(metrics.all('vitrine_http_errors_total'), [
    'vitrine_http_errors_total{status="503",reason="unavailable"} 1',
  ]);
});
