import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditReport, judge } from './audit.ts';

const report = (severity: string): AuditReport => ({
  vulnerabilities: {
    inner: {
      via: [
        {
          name: 'inner',
          severity,
          title: 'Slow pattern',
          url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc',
        },
      ],
    },
    outer: { via: ['inner'] },
  },
});

test('an advisory of moderate severity fails once, with its package and title', () => {
  const { lines, isFailure } = judge(report('moderate'), {});
  assert.deepEqual(lines, ['GHSA-aaaa-bbbb-cccc moderate in inner: Slow pattern (FAILS)']);
  assert.equal(isFailure, true);
});

test('an advisory of low severity is only listed', () => {
  const { lines, isFailure } = judge(report('low'), {});
  assert.equal(lines.length, 1);
  assert.equal(isFailure, false);
});

test('an accepted advisory is listed with its reason', () => {
  const { lines, isFailure } = judge(report('high'), { 'GHSA-aaaa-bbbb-cccc': 'used in tests only' });
  assert.match(lines.join(), /\(accepted: used in tests only\)$/);
  assert.equal(isFailure, false);
});

test('a registry without the endpoint is reported and does not fail', () => {
  const { lines, isFailure } = judge({ message: '405 Method Not Allowed' }, {});
  assert.match(lines.join(), /^NOT CHECKED: .*405 Method Not Allowed/);
  assert.equal(isFailure, false);
});

test('a report without vulnerabilities passes', () => {
  assert.deepEqual(judge({ vulnerabilities: {} }, {}), {
    lines: ['no known vulnerabilities'],
    isFailure: false,
  });
});
