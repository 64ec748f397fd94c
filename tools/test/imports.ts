/**
 * Reads the imports of test files, to find out which files need PostgreSQL and which need their own process.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './files.ts';

/** Modules without effects outside the file that imports them. */
const PURE =
  /^(node:(assert|buffer|crypto|events|path|stream|test|timers|url|util)(\/|$)|(currency-codes|fast-check|lru-cache|markdown-it|nanoid|typebox)(\/|$))/;

/** Hooks outside of `describe` apply to every file of a process. */
const HOOKS = /import \{[^}]*\b(before|after|beforeEach|afterEach)\b[^}]*\} from 'node:test'/;

const POSTGRES = 'packages/server/test/support/postgres.ts';

/** True for a file that can share a process: without servers, processes, threads, sockets and folders. */
export function isPure(file: string): boolean {
  const { modules } = importsOf(file);
  return [...modules].every((name) => PURE.test(name)) && !HOOKS.test(readSource(file));
}

/** Other files reach it only in runs against several nodes, which have a PostgreSQL. */
const NODES = 'packages/server/test/support/nodes/';

export function needsPostgres(file: string): boolean {
  return importsOf(file).files.has(POSTGRES);
}

interface Imports {
  /** Files of the repository, with their own imports. */
  readonly files: ReadonlySet<string>;
  /** Modules of Node and of other packages, and files that are no TypeScript. */
  readonly modules: ReadonlySet<string>;
}

function importsOf(file: string): Imports {
  const files = new Set<string>();
  const modules = new Set<string>();
  const visit = (path: string) => {
    if (files.has(path) || path.startsWith(NODES)) return;
    files.add(path);
    for (const name of readImports(path)) {
      const target = resolve(path, name);
      if (target.endsWith('.ts')) visit(target);
      else modules.add(target);
    }
  };
  visit(file);
  return { files, modules };
}

function resolve(from: string, name: string): string {
  if (name === '@vitrine/client') return 'packages/client/src/index.ts';
  return name.startsWith('.') ? join(dirname(from), name) : name;
}

/** Modules that are imported at run time, also on demand and for side effects. */
function readImports(path: string): string[] {
  const source = readSource(path);
  const statements = source.matchAll(/^(?:import|export) (?!type )(?:[^'"`;]*? from )?'([^']+)';/gms);
  const calls = source.matchAll(/import\(\s*'([^']+)'/g);
  return [...statements, ...calls].map(([, name = '']) => name);
}

const sources = new Map<string, string>();

function readSource(path: string): string {
  const source = sources.get(path) ?? readFileSync(join(ROOT, path), 'utf8');
  sources.set(path, source);
  return source;
}
