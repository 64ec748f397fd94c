/**
 * What a lockfile may not contain: packages with install scripts that `allowScripts` does not judge, and
 * packages with telemetry.
 */

/** A lockfile of npm, as far as it is used here. Keys are folders, such as `node_modules/sharp`. */
export interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly hasInstallScript?: boolean; readonly name?: string }>
  >;
}

/** By package name: true if its install script may run. False: it is not needed, and npm skips it. */
export type AllowedScripts = Readonly<Record<string, boolean>>;

/** Packages whose purpose is to report installations, usage or errors to a server. */
const TELEMETRY: readonly RegExp[] = [
  /^@scarf\//,
  /^@sentry\//,
  /^@segment\/analytics/,
  /^@amplitude\//,
  /^@astrojs\/telemetry$/,
  /^@nuxt\/telemetry$/,
  /^@datadog\/browser-/,
  /^@microsoft\/applicationinsights/,
  /^@redocly\/redoc-opentelemetry$/,
  /^@vercel\/(analytics|speed-insights)$/,
  /^(applicationinsights|analytics-node|bugsnag|insight|mixpanel|newrelic|opencollective|opencollective-postinstall|posthog-js|posthog-node|raven|rollbar|universal-analytics)$/,
];

/** One line for each package that may not be in the lockfile. */
export function findLockfileProblems({ packages }: Lockfile, allowed: AllowedScripts): string[] {
  return Object.entries(packages).flatMap(([folder, entry]) => {
    if (folder === '') return [];
    const name = entry.name ?? folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const problems: string[] = [];
    if (TELEMETRY.some((pattern) => pattern.test(name)))
      problems.push(`${folder} is known for its telemetry`);
    if (entry.hasInstallScript && !(name in allowed))
      problems.push(`${folder} has an install script: judge it in "allowScripts" of package.json`);
    return problems;
  });
}

/** Names in `allowScripts` whose packages are not in the lockfile, or have no install script any more. */
export function findNeedlessPermissions({ packages }: Lockfile, allowed: AllowedScripts): string[] {
  const folders = Object.keys(packages).filter((folder) => packages[folder]?.hasInstallScript);
  return Object.keys(allowed).filter(
    (name) => !folders.some((folder) => folder.endsWith(`node_modules/${name}`)),
  );
}
