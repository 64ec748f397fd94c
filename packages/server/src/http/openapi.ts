/**
 * Owns what the OpenAPI document says besides the routes: title, servers, security.
 */
import { createRequire } from 'node:module';

/** The document's frame. `version` is this software's; the API's are named by `X-Moov-Version`. */
export const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'Vitrine',
    description:
      'An image library server: upload, list, replace, describe and disable images through an account-scoped API, and fetch any of them, in any size, from one stable public link.',
    version: packageVersion(),
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  components: {
    securitySchemes: {
      basicAuth: {
        type: 'http' as const,
        scheme: 'basic',
        description: 'Public key as user name, secret key as password.',
      },
      bearerAuth: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'An access token from POST /oauth2/token.',
      },
    },
  },
  security: [{ basicAuth: [] }, { bearerAuth: [] }],
  tags: [
    { name: 'Images', description: 'The image library.' },
    { name: 'Products', description: 'The catalogue, and what its products show.' },
    { name: 'Line items', description: 'What was sold, as it was shown.' },
    { name: 'Accounts', description: 'The tenants, and what happened in them.' },
    { name: 'Keys', description: 'Who may act for an account, or for all.' },
    { name: 'Authentication', description: 'Access tokens for keys.' },
    { name: 'Ping', description: 'Are the credentials good?' },
  ],
};

/** Schemas are referred to by their own names. */
export function referenceName(
  json: { $id?: unknown },
  _base: unknown,
  _fragment: unknown,
  index: number,
): string {
  return typeof json.$id === 'string' ? json.$id : `schema-${index}`;
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}
