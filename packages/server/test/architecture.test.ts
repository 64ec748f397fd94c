/**
 * The house, as a test: imports only run downward, and what is dangerous or replaceable stays in its room.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';

const SOURCE = join(import.meta.dirname, '../src');

/** From the bottom to the top. A file may import from its own rank only inside its own room. */
const RANKS: readonly (readonly RegExp[])[] = [
  [/^(image|errors)\.ts$/, /^validation\//, /^access\/(account|audit|rights)\.ts$/, /^images\/usage\.ts$/],
  [/^catalog\/(product|line-items|amount|assignment)\.ts$/],
  // Ports and pure logic.
  [
    /^database\/store\.ts$/,
    /^(access|catalog|maintenance)\/records\.ts$/,
    /^blobs\/(store|staging|file-errors|revocable-removal)\.ts$/,
    /^delivery\/(rendition-cache|lru-index|memory-cache)\.ts$/,
    /^concurrency\/(single-flight|token-bucket|concurrency-limit)\.ts$/,
    /^catalog\/markdown\.ts$/,
    /^imaging\/(processor|plan|ladder)\.ts$/,
    /^access\/(secrets|settings|login-throttle)\.ts$/,
    /^config\.ts$/,
    /^telemetry\/(log|telemetry|readiness)\.ts$/,
  ],
  [/^(images|delivery|catalog|access|maintenance)\/(?!disk-cache)/],
  // Adapters, and http.
  [/^http\//, /^(database|concurrency)\//, /^blobs\//, /^delivery\//, /^imaging\//, /^telemetry\//],
  [/^app\.ts$/],
  [/^main\.ts$/],
  // The command starts the server like anybody else.
  [/^cli\//],
];

/** Every way in which code may ask for a module: by `from`, for its effects alone, or when it is needed. */
function importing(name: string): RegExp {
  return new RegExp(`(?:from|import|require)\\s*\\(?\\s*['"\`](?:${name})['"\`]`);
}

/** What only these rooms may import or say. */
const ROOMS: readonly { what: RegExp; rooms: RegExp; reason: string }[] = [
  {
    what: importing('sharp'),
    rooms: /^imaging\/(worker\/(main|render|ingest)|versions)\.ts$/,
    reason: 'decoders run in child processes; versions.ts decodes nothing',
  },
  { what: importing('pg'), rooms: /^database\/postgres\.ts$/, reason: 'one file per database' },
  {
    what: importing('node:sqlite'),
    rooms: /^database\/sqlite\/worker\.ts$/,
    reason: 'it is synchronous, so it runs in threads',
  },
  { what: importing('kysely(?:/.*)?'), rooms: /^database\//, reason: 'SQL lives in database/' },
  { what: importing('@aws-sdk/.*'), rooms: /^blobs\/s3\.ts$/, reason: 'one file per blob backend' },
  { what: importing('markdown-it'), rooms: /^catalog\/markdown\.ts$/, reason: 'loaded when it is needed' },
  {
    what: importing('commander|cli-progress|open|node:readline'),
    rooms: /^cli\//,
    reason: 'the command line lives in cli/',
  },
  {
    what: /import\(\s*'@vitrine\/client'|import \{[^}]*\} from '@vitrine\/client'/,
    rooms: /^cli\//,
    reason: 'the server knows the types of the contract, and only the command is a client',
  },
  { what: importing('prom-client'), rooms: /^telemetry\/metrics\.ts$/, reason: 'one file per listener' },
  {
    what: importing('@opentelemetry/.*'),
    rooms: /^telemetry\/traces\.ts$/,
    reason: 'one file per listener',
  },
  { what: importing('fastify|@fastify/.*'), rooms: /^(http\/|app\.ts$)/, reason: 'HTTP lives in http/' },
  {
    what: /process\??\.env\b|process\[\s*['"`]env|\benv\b[^{}]*\}\s*=\s*process\b|\{[^{}]*\benv\b[^{}]*\}\s*from\s*'(?:node:)?process'/,
    rooms: /^(main|cli\/main)\.ts$/,
    reason: 'configuration is handed down',
  },
];

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

function rankOf(file: string): number {
  return RANKS.findIndex((patterns) => patterns.some((pattern) => pattern.test(file)));
}

function roomOf(file: string): string {
  return file.includes('/') ? (file.split('/')[0] ?? '') : '';
}

/** Relative imports, also those that are loaded when needed. */
function importsOf(file: string, text: string): string[] {
  const found = text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g);
  return [...found].map(([, target = '']) => relative(SOURCE, join(SOURCE, dirname(file), target)));
}

/** Every import that runs upward, or across between rooms of the same rank. */
function wrongImports(read: (file: string) => string): string[] {
  return files.flatMap((file) =>
    importsOf(file, read(file))
      .filter((target) => {
        const sideways =
          rankOf(file) > 3 &&
          !target.startsWith('concurrency/') &&
          !file.startsWith('concurrency/') &&
          rankOf(target) === rankOf(file) &&
          roomOf(target) !== roomOf(file);
        return rankOf(target) > rankOf(file) || sideways;
      })
      .map((target) => `${file} imports ${target}`),
  );
}

const read = (file: string) => readFileSync(join(SOURCE, file), 'utf8');

/** Comments may speak of what code may not do. */
const code = (file: string) => read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

/** Backends of one port, of which none may know another. */
const SIBLINGS = [
  ['database/sqlite/sqlite.ts', 'database/postgres.ts'],
  ['database/sqlite/driver.ts', 'database/postgres.ts'],
  ['blobs/fs.ts', 'blobs/s3.ts'],
];

describe('the house', () => {
  test('has a place for every file', () => {
    assert.deepEqual(
      files.filter((file) => rankOf(file) < 0),
      [],
    );
  });

  test('has imports that only run downward', () => {
    assert.deepEqual(wrongImports(read), []);
  });

  test('would notice an import that runs upward, and one that runs across', () => {
    const upward = "import { createApp } from '../app.ts';\n";
    const across = "import { openFileBlobs } from '../../blobs/fs.ts';\n";
    assert.deepEqual(
      wrongImports((file) => (file === 'images/library.ts' ? upward : '')),
      ['images/library.ts imports app.ts'],
    );
    assert.deepEqual(
      wrongImports((file) => (file === 'database/sql/store.ts' ? across : '')),
      ['database/sql/store.ts imports blobs/fs.ts'],
    );
  });

  test('has backends that do not know each other', () => {
    const known = SIBLINGS.flatMap((group) =>
      group
        .filter((file) => files.includes(file))
        .flatMap((file) => importsOf(file, read(file)).filter((target) => group.includes(target))),
    );
    assert.deepEqual(known, []);
  });

  for (const { what, rooms, reason } of ROOMS) {
    test(`keeps ${what.source} in ${rooms.source}: ${reason}`, () => {
      const outside = files.filter((file) => !rooms.test(file) && what.test(code(file)));
      assert.deepEqual(outside, []);
    });
  }

  test('would notice each way to import a module, and to read the environment', () => {
    for (const text of [
      "import sharp from 'sharp';",
      "import 'sharp';",
      "export * from 'sharp';",
      "const sharp = await import('sharp');",
      "const sharp = require('sharp');",
      "import type { Pool } from 'pg';",
      "import { Migrator } from 'kysely/migration';",
      "import cors from '@fastify/cors';",
      'process.env.HOME',
      "process['env']",
      'const { env } = process;',
      'const { argv, env: variables } = process;',
      "import { env } from 'node:process';",
      "import { argv, env as variables } from 'process';",
    ]) {
      assert.ok(
        ROOMS.some(({ what }) => what.test(text)),
        text,
      );
    }
    for (const text of [
      "from './sharp.ts'",
      "'sharp'",
      'options.env',
      "import { argv } from 'node:process';",
    ]) {
      assert.ok(!ROOMS.some(({ what }) => what.test(text)), text);
    }
  });

  test('has files that fit in a head, or say why not', () => {
    const long = files.filter((file) => {
      const text = read(file);
      const header = text.slice(0, text.indexOf('*/'));
      return text.split('\n').length > 500 && !/lines|long/i.test(header);
    });
    assert.deepEqual(long, []);
  });

  test('has no room without a meaning', () => {
    assert.deepEqual(
      files.filter((file) => /(^|\/)(utils?|common|helpers?|base|manager|misc)(\.ts|\/)/.test(file)),
      [],
    );
  });

  test('says at the top of each file what it owns', () => {
    assert.deepEqual(
      files.filter((file) => !read(file).startsWith('/**')),
      [],
    );
  });
});
