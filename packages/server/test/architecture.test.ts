/**
 * The rules of the source tree, as tests. Imports run only downward and in no circles, and native packages
 * stay in their rooms. ARCHITECTURE.md explains the rooms.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';

const SOURCE = join(import.meta.dirname, '../src');

/** The rooms from the bottom to the top. A file imports only its own room and rooms below it. */
const ROOMS = [
  'errors.ts',
  'validation',
  'image.ts',
  'concurrency',
  'telemetry',
  'imaging',
  'blobs',
  'access',
  'events',
  'delivery',
  'images',
  'maintenance',
  'catalog',
  // It implements the ports of the capabilities, so it stands above them. See PORTS for what it may import.
  'database',
  'config.ts',
  'http',
  'app.ts',
  'main.ts',
  // The command line can start the server.
  'cli',
];

/** The folders of a large room, from the bottom to the top. Folders in one line do not import each other. */
const FOLDERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  http: [['shared'], ['connection'], ['access', 'delivery', 'system'], ['images'], ['catalog'], ['']],
  cli: [['terminal'], ['remote'], ['admin'], ['']],
  imaging: [['formats'], [''], ['worker'], ['pool']],
};

/** The rooms that imaging may import, so that it can become a package of its own. */
const IMAGING_IMPORTS = ['imaging', 'errors.ts', 'image.ts', 'concurrency', 'telemetry'];

/**
 * The files of the capabilities that an adapter may import: ports, entities and their rules, but no service.
 */
const PORTS =
  /^(access\/(account|audit|records|rights)|catalog\/(amount|assignment|line-items|product|records)|delivery\/records|events\/(event|records)|images\/(records|usage)|maintenance\/(moving\/)?records)\.ts$/;
const CAPABILITIES = /^(access|catalog|delivery|events|images|maintenance)\//;

/** Implementations of one port. They must not import each other. */
const SIBLINGS = [
  /^database\/(sqlite|postgres)\//,
  /^blobs\/(fs|s3)\.ts$/,
  /^delivery\/(memory-cache|disk-cache)\.ts$/,
];

/** All ways in which code imports a module: `from`, for side effects only, and on demand. */
function importOf(name: string): RegExp {
  return new RegExp(`(?:from|import|require)\\s*\\(?\\s*['"\`](?:${name})['"\`]`);
}

/** Imports and expressions that are allowed only in some files. */
const RESTRICTED: readonly { what: RegExp; files: RegExp; reason: string }[] = [
  {
    what: importOf('sharp'),
    files: /^imaging\/(worker\/[a-z-]+|versions)\.ts$/,
    reason: 'decoders run in child processes; versions.ts decodes nothing',
  },
  { what: importOf('pg'), files: /^database\/postgres\//, reason: 'one folder per database' },
  {
    what: importOf('node:sqlite'),
    files: /^database\/sqlite\/worker\.ts$/,
    reason: 'it is synchronous, so it runs in threads',
  },
  { what: importOf('kysely(?:/.*)?'), files: /^database\//, reason: 'SQL lives in database/' },
  { what: importOf('@aws-sdk/.*'), files: /^blobs\/s3(-client)?\.ts$/, reason: 'one backend of blobs' },
  { what: importOf('markdown-it'), files: /^catalog\/markdown\.ts$/, reason: 'it is loaded on demand' },
  {
    what: importOf('commander|cli-progress|open|string-width|@bomb\\.sh/tab(?:/.*)?|node:readline'),
    files: /^cli\//,
    reason: 'the command line lives in cli/',
  },
  {
    what: /import\(\s*'@vitrine\/client'|import \{[^}]*\} from '@vitrine\/client'/,
    files: /^cli\//,
    reason: 'the server takes only the types of the contract; the command line is a client',
  },
  { what: importOf('prom-client'), files: /^telemetry\/metrics\.ts$/, reason: 'one file per exporter' },
  {
    what: importOf('@opentelemetry/.*'),
    files: /^telemetry\/traces\.ts$/,
    reason: 'one file per exporter',
  },
  { what: importOf('fastify|@fastify/.*'), files: /^(http\/|app\.ts$)/, reason: 'HTTP lives in http/' },
  {
    what: /process\??\.env\b|process\[\s*['"`]env|\benv\b[^{}]*\}\s*=\s*process\b|\{[^{}]*\benv\b[^{}]*\}\s*from\s*'(?:node:)?process'/,
    files: /^(main|cli\/main)\.ts$/,
    reason: 'the configuration is passed as a parameter',
  },
];

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

const read = (file: string) => readFileSync(join(SOURCE, file), 'utf8');

/** Comments may mention what code may not do. */
const code = (file: string) => read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

function roomOf(file: string): string {
  return file.split('/')[0] ?? '';
}

/** The folder of a file inside its room; the empty text for a file directly in it. */
function folderOf(file: string): string {
  const parts = file.split('/');
  return parts.length > 2 ? (parts[1] ?? '') : '';
}

/** Relative imports, on-demand ones included. */
function importsOf(file: string, text: string): string[] {
  const matches = text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g);
  return [...matches].map(([, target = '']) => relative(SOURCE, join(SOURCE, dirname(file), target)));
}

type Read = (file: string) => string;

function importsWhere(read: Read, isWrong: (file: string, target: string) => boolean): string[] {
  return files.flatMap((file) =>
    importsOf(file, read(file))
      .filter((target) => isWrong(file, target))
      .map((target) => `${file} imports ${target}`),
  );
}

/** Imports of a room above. */
function upwardImports(read: Read): string[] {
  return importsWhere(read, (file, target) => ROOMS.indexOf(roomOf(target)) > ROOMS.indexOf(roomOf(file)));
}

/** Imports inside a large room that run upward, or across between folders of one line. */
function wrongFolderImports(read: Read): string[] {
  return importsWhere(read, (file, target) => {
    const lines = FOLDERS[roomOf(file)];
    if (!lines || roomOf(target) !== roomOf(file) || folderOf(target) === folderOf(file)) return false;
    const rank = (path: string) => lines.findIndex((line) => line.includes(folderOf(path)));
    return rank(target) >= rank(file);
  });
}

/** Imports of services by an adapter. */
function serviceImports(read: Read): string[] {
  return importsWhere(
    read,
    (file, target) => roomOf(file) === 'database' && CAPABILITIES.test(target) && !PORTS.test(target),
  );
}

/** Groups of files that import each other in a circle, each as a text. */
function importCircles(read: Read): string[] {
  const targets = new Map(files.map((file) => [file, importsOf(file, read(file))]));
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]) => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' -> '));
    if (start >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  return circles;
}

/** The tree with one import added. */
const withImport =
  (changed: string, target: string): Read =>
  (file) =>
    file === changed ? `${read(file)}\nimport { one } from '${target}';\n` : read(file);

describe('the source tree', () => {
  test('has a room for every file', () => {
    assert.deepEqual(
      files.filter((file) => !ROOMS.includes(roomOf(file))),
      [],
    );
  });

  test('has imports that only run downward', () => {
    assert.deepEqual(upwardImports(read), []);
    assert.deepEqual(wrongFolderImports(read), []);
  });

  test('reports an import of a room above', () => {
    assert.deepEqual(upwardImports(withImport('images/library.ts', '../app.ts')), [
      'images/library.ts imports app.ts',
    ]);
    assert.deepEqual(upwardImports(withImport('imaging/plan.ts', '../blobs/store.ts')), [
      'imaging/plan.ts imports blobs/store.ts',
    ]);
  });

  test('has no import circles', () => {
    assert.deepEqual(importCircles(read), []);
  });

  test('reports an import between two folders of http, and one upward in it', () => {
    assert.deepEqual(wrongFolderImports(withImport('http/access/keys.ts', '../system/docs.ts')), [
      'http/access/keys.ts imports http/system/docs.ts',
    ]);
    assert.deepEqual(wrongFolderImports(withImport('http/shared/cors.ts', '../server.ts')), [
      'http/shared/cors.ts imports http/server.ts',
    ]);
  });

  test('reports an import circle', () => {
    const [circle = '', ...others] = importCircles(withImport('telemetry/telemetry.ts', './observed.ts'));
    assert.deepEqual(
      new Set(circle.split(' -> ')),
      new Set(['telemetry/telemetry.ts', 'telemetry/observed.ts']),
    );
    assert.deepEqual(others, []);
  });

  test('has databases that import ports and entities, but no services', () => {
    assert.deepEqual(serviceImports(read), []);
    assert.deepEqual(serviceImports(withImport('database/dialect.ts', '../images/library.ts')), [
      'database/dialect.ts imports images/library.ts',
    ]);
  });

  test('has imaging that could be a package', () => {
    const wrong = (read: Read) =>
      importsWhere(
        read,
        (file, target) => roomOf(file) === 'imaging' && !IMAGING_IMPORTS.includes(roomOf(target)),
      );
    assert.deepEqual(wrong(read), []);
    assert.deepEqual(wrong(withImport('imaging/plan.ts', '../validation/text.ts')), [
      'imaging/plan.ts imports validation/text.ts',
    ]);
  });

  test('has folders of imaging in one order', () => {
    assert.deepEqual(wrongFolderImports(withImport('imaging/worker/render.ts', '../pool/cost.ts')), [
      'imaging/worker/render.ts imports imaging/pool/cost.ts',
    ]);
  });

  test('has backends that do not import each other', () => {
    const wrong = SIBLINGS.flatMap((siblings) =>
      importsWhere(read, (file, target) => {
        const [one] = siblings.exec(file) ?? [];
        const [other] = siblings.exec(target) ?? [];
        return one !== undefined && other !== undefined && one !== other;
      }),
    );
    assert.deepEqual(wrong, []);
  });

  for (const { what, files: allowed, reason } of RESTRICTED) {
    test(`keeps ${what.source} in ${allowed.source}: ${reason}`, () => {
      const outside = files.filter((file) => !allowed.test(file) && what.test(code(file)));
      assert.deepEqual(outside, []);
    });
  }

  test('recognises each way to import a module and to read the environment', () => {
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
        RESTRICTED.some(({ what }) => what.test(text)),
        text,
      );
    }
    for (const text of [
      "from './sharp.ts'",
      "'sharp'",
      'options.env',
      "import { argv } from 'node:process';",
    ]) {
      assert.ok(!RESTRICTED.some(({ what }) => what.test(text)), text);
    }
  });

  test('has at most six files at the top and twenty in a folder', () => {
    const counts = new Map<string, number>();
    for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    assert.ok((counts.get('.') ?? 0) <= 6);
    assert.deepEqual(
      [...counts].filter(([, count]) => count > 20),
      [],
    );
  });

  test('has files under 500 lines, or a reason in their header', () => {
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

  test('has a header in every file', () => {
    assert.deepEqual(
      files.filter((file) => !read(file).startsWith('/**')),
      [],
    );
  });
});
