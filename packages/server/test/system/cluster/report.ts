/** The output of the harness: a line for each round, and a table by kind of fault. */
import type { HarnessReport, RoundReport } from './harness.ts';
import type { Failure } from './traffic.ts';

export function formatRound(round: RoundReport): string {
  const { number, kinds, duration, acknowledged, answered, failures, retried, stale, problems } = round;
  const failed = [...failures].map(([failure, count]) => `${count} ${failure}`);
  return [
    `${String(number).padStart(3)}  ${kinds.join(' + ')}: ${(duration / 1000).toFixed(1)} s`,
    `${acknowledged} writes acknowledged`,
    `${answered} answered`,
    ...(failed.length > 0 ? failed : ['none failed']),
    `${retried} retried by the proxy`,
    `${stale} stale`,
    ...(problems.length > 0 ? [`${problems.length} PROBLEMS`] : []),
  ].join(', ');
}

export function formatReport(report: HarnessReport): string {
  const byKind = Map.groupBy(report.rounds, ({ kinds }) => kinds.join(' + '));
  const rows = [...byKind].map(([kind, rounds]) => {
    const sum = (read: (round: RoundReport) => number) =>
      rounds.reduce((total, round) => total + read(round), 0);
    const failed = (failure: Failure) => sum(({ failures }) => failures.get(failure) ?? 0);
    const other = sum(({ failures }) => [...failures.values()].reduce((total, count) => total + count, 0));
    return [
      kind,
      rounds.length,
      (Math.max(...rounds.map(({ duration }) => duration)) / 1000).toFixed(1),
      sum(({ acknowledged }) => acknowledged),
      failed('rejected'),
      failed('bad-gateway') + failed('no-answer'),
      other - failed('rejected') - failed('bad-gateway') - failed('no-answer'),
      sum(({ retried }) => retried),
      sum(({ stale }) => stale),
      sum(({ problems }) => problems.length),
    ].map(String);
  });
  const head = [
    'fault',
    'times',
    'longest s',
    'acknowledged',
    '503',
    'broken',
    'other',
    'retried',
    'stale',
    'problems',
  ];
  const { reads, operatorChecks } = report;
  return [
    ...formatTable([head, ...rows]),
    '',
    `${report.rounds.reduce((sum, { kinds }) => sum + kinds.length, 0)} faults, seed ${report.seed}`,
    `${report.acknowledged} writes acknowledged, ${report.images} images`,
    `${reads.pictures} pictures decoded, ${reads.unmodified} answers 304`,
    `${reads.stale} stale, at most ${Math.round(reads.maxStaleness)} ms; ${reads.staleWhileBlind} of nodes without a database`,
    `${report.twins} identical uploads, ${report.refused} uploads beyond the quota`,
    `vitrine verify repaired ${operatorChecks.repaired}, vitrine gc removed ${operatorChecks.collected}`,
    `${report.problems.length} problems`,
  ].join('\n');
}

function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
}
