import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const HOOK = join(import.meta.dirname, 'commit-msg');

/** The error of the hook; undefined if it accepts the message. */
function check(message: string): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-hook-'));
  try {
    const path = join(folder, 'COMMIT_EDITMSG');
    writeFileSync(path, message);
    const { status, stderr } = spawnSync('sh', [HOOK, path], { encoding: 'utf8' });
    return status === 0 ? undefined : stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const LONGEST = `fix: ${'a'.repeat(66)}`;

describe('a commit message', () => {
  for (const message of [
    'feat: add presets',
    'fix(delivery)!: answer 403 under a policy\n\nBREAKING CHANGE: links without a signature are rejected.',
    'docs: erkläre „Größe“',
    LONGEST,
    'Merge branch "main" into presets',
    'Revert "feat: add presets"',
    'fixup! feat: add presets',
    'test: try the hook\n# A comment.\n# ------------------------ >8 ------------------------\ndiff of 1 file\n',
  ]) {
    test(`is accepted: ${JSON.stringify(message.slice(0, 40))}`, () => {
      assert.equal(check(message), undefined);
    });
  }

  for (const [message, reason] of [
    ['Add presets', /needs the form "type: text"/],
    ['feature: add presets', /with a type of build\|/],
    ['feat:add presets', /needs the form/],
    ['feat(Images): add presets', /needs the form/],
    [`${LONGEST}a`, /has 72 characters, at most 71/],
    ['feat: add presets.', /must not end with a period/],
    ['feat: add presets\nand tags', /the second line must be empty/],
    ['', /needs the form/],
  ] as const) {
    test(`is rejected: ${JSON.stringify(message.slice(0, 40))}`, () => {
      assert.match(check(message) ?? 'accepted', reason);
    });
  }
});
