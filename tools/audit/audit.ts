/**
 * Runs `npm audit` for each lockfile and fails on advisories that accepted.json does not list with a reason.
 * A registry without the audit endpoint is reported and does not fail the run.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** The folders with a package-lock.json. */
const FOLDERS = ['.', 'tools/contract'];

/** Severities that fail the run. Lower ones are only listed. */
const FAILING = ['moderate', 'high', 'critical'];

/** The output of `npm audit --json`, as far as it is used here. */
export interface AuditReport {
  /** The error, if the registry gave no answer. */
  readonly message?: string;
  readonly vulnerabilities?: Readonly<Record<string, { readonly via: readonly (string | Advisory)[] }>>;
}

interface Advisory {
  /** The package with the vulnerability. */
  readonly name: string;
  readonly severity: string;
  readonly title: string;
  /** `https://github.com/advisories/GHSA-…` */
  readonly url: string;
}

/** Reasons by the ID of the advisory, such as `GHSA-jf85-cpcp-j695`. */
export type AcceptedAdvisories = Readonly<Record<string, string>>;

export interface Judgement {
  /** Lines of text for the output. */
  readonly lines: readonly string[];
  readonly isFailure: boolean;
}

export function judge(report: AuditReport, accepted: AcceptedAdvisories): Judgement {
  if (report.vulnerabilities === undefined) {
    const reason = report.message ?? 'no message';
    return { lines: [`NOT CHECKED: the registry did not answer the audit (${reason})`], isFailure: false };
  }
  const advisories = new Map<string, Advisory>();
  for (const { via } of Object.values(report.vulnerabilities)) {
    for (const each of via) if (typeof each !== 'string') advisories.set(idOf(each), each);
  }
  if (advisories.size === 0) return { lines: ['no known vulnerabilities'], isFailure: false };
  const lines: string[] = [];
  let isFailure = false;
  for (const [id, { name, severity, title }] of advisories) {
    const reason = accepted[id];
    const fails = reason === undefined && FAILING.includes(severity);
    isFailure ||= fails;
    const verdict = reason === undefined ? (fails ? 'FAILS' : 'listed only') : `accepted: ${reason}`;
    lines.push(`${id} ${severity} in ${name}: ${title} (${verdict})`);
  }
  return { lines, isFailure };
}

function idOf({ url }: Advisory): string {
  return url.slice(url.lastIndexOf('/') + 1);
}

function audit(folder: string): AuditReport {
  const { stdout, error } = spawnSync('npm', ['audit', '--json'], {
    cwd: join(ROOT, folder),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw error;
  return JSON.parse(stdout) as AuditReport;
}

function main(): void {
  const path = join(import.meta.dirname, 'accepted.json');
  const accepted = JSON.parse(readFileSync(path, 'utf8')) as AcceptedAdvisories;
  for (const folder of FOLDERS) {
    const { lines, isFailure } = judge(audit(folder), accepted);
    for (const line of lines) process.stdout.write(`audit of ${folder}: ${line}\n`);
    if (isFailure) process.exitCode = 1;
  }
}

if (import.meta.main) main();
