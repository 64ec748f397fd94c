/**
 * The form of `VITRINE_BLOBS`: where originals and rungs are stored.
 */

/** The location of originals and rungs. */
export type BlobsConfig = { readonly kind: 'file'; readonly folder: string } | S3Location;

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** Keys begin with it. Without slashes at its ends; the empty text: no prefix. */
  readonly prefix: string;
  /** The origin of the server; undefined: that of AWS. */
  readonly endpoint: string | undefined;
  /** Undefined: the SDK's own settings, such as `AWS_REGION`. */
  readonly region: string | undefined;
  /** Where the bucket stands in the URL: in its path or in the host name. */
  readonly style: 'path' | 'virtual';
  readonly encryption: Encryption | undefined;
}

/** Encryption by the store. */
export interface Encryption {
  readonly algorithm: (typeof ALGORITHMS)[number];
  /** The ID, alias or ARN of a key of KMS; undefined: the key of the account. */
  readonly key: string | undefined;
}

const ALGORITHMS = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const;
const STYLES = ['path', 'virtual'] as const;
const PARAMETERS = ['endpoint', 'region', 'style', 'sse', 'kms'];

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
// No segment of dots, because servers that store files resolve it.
const PREFIX = /^(?!\.+(?:\/|$))[\w.-]+(?:\/(?!\.+(?:\/|$))[\w.-]+)*$/;
const MAX_PREFIX = 256;

/** Reads `s3://BUCKET/PREFIX?…`. @returns the location, or the problem as a phrase without secrets. */
export function parseS3Location(text: string): S3Location | { readonly problem: string } {
  if (!URL.canParse(text)) return { problem: 'it is not a valid URL' };
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return { problem: 'credentials come from the environment, as AWS_ACCESS_KEY_ID or a profile' };
  }
  if (url.hash !== '' || url.port !== '') return { problem: 'give the server as ?endpoint=URL' };
  const bucket = url.hostname;
  if (!BUCKET.test(bucket)) {
    return { problem: bucket === '' ? 's3:// needs a bucket' : `${JSON.stringify(bucket)} is not a bucket` };
  }
  const prefix = url.pathname.replace(/^\/|\/$/g, '');
  if (prefix !== '' && (!PREFIX.test(prefix) || prefix.length > MAX_PREFIX)) {
    return { problem: `a prefix has up to ${MAX_PREFIX} letters, digits, _, -, . and /` };
  }
  const parameters = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (!PARAMETERS.includes(name)) {
      return { problem: `the parameter ${JSON.stringify(name)} is not one of ${PARAMETERS.join(', ')}` };
    }
    if (parameters.has(name)) return { problem: `the parameter ${name} is there twice` };
    if (value === '') return { problem: `the parameter ${name} is empty` };
    parameters.set(name, value);
  }
  const endpoint = parameters.get('endpoint');
  if (endpoint !== undefined && !isOrigin(endpoint)) {
    return { problem: 'endpoint must be an http or https URL without a path, such as https://s3.example' };
  }
  const region = parameters.get('region');
  if (region !== undefined && !/^[a-z0-9-]{1,64}$/.test(region)) {
    return { problem: `${JSON.stringify(region)} is not a region` };
  }
  // The address style of AWS itself. Most other servers know only paths without further settings.
  const styleName = parameters.get('style') ?? (endpoint === undefined ? 'virtual' : 'path');
  const style = STYLES.find((each) => each === styleName);
  if (style === undefined) return { problem: `style must be one of ${STYLES.join(', ')}` };
  const encryption = parseEncryption(parameters.get('sse'), parameters.get('kms'));
  if (encryption !== undefined && 'problem' in encryption) return encryption;
  return {
    kind: 's3',
    bucket,
    prefix,
    endpoint: endpoint?.replace(/\/$/, ''),
    region,
    style,
    encryption,
  };
}

/** The location without parameters, for messages. */
export function describeLocation(blobs: BlobsConfig): string {
  if (blobs.kind === 'file') return blobs.folder;
  const at = blobs.endpoint === undefined ? '' : ` at ${blobs.endpoint}`;
  return `s3://${blobs.bucket}${blobs.prefix && `/${blobs.prefix}`}${at}`;
}

function parseEncryption(
  sse: string | undefined,
  key: string | undefined,
): Encryption | { readonly problem: string } | undefined {
  if (sse === undefined) return key === undefined ? undefined : { problem: 'kms needs sse=aws:kms' };
  const algorithm = ALGORITHMS.find((each) => each === sse);
  if (algorithm === undefined) return { problem: `sse must be one of ${ALGORITHMS.join(', ')}` };
  if (key !== undefined && algorithm === 'AES256') return { problem: 'kms needs sse=aws:kms' };
  return { algorithm, key };
}

function isOrigin(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return false;
  const { username, password, pathname, search, hash } = new URL(text);
  return username === '' && password === '' && pathname === '/' && search === '' && hash === '';
}
