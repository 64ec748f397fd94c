/**
 * The parts of the OpenAPI document that do not come from routes: title, security, tags and shared responses.
 */
import { createRequire } from 'node:module';
import { mapValues, type OpenAPIDocument } from './shared/openapi-document.ts';
import { SHARED_RESPONSES } from './shared/schemas.ts';

/** The frame of the document. `version` is that of the software. `X-Moov-Version` names those of the API. */
export const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'Vitrine',
    description:
      'An image library server. Clients upload, list, replace, describe and disable images through an account-scoped API. Each image has one stable public link, which serves it in any size.',
    version: packageVersion(),
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  components: {
    responses: SHARED_RESPONSES,
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
    { name: 'Products', description: 'The products of the catalogue and their images.' },
    { name: 'Line items', description: 'Sold items with the images that they showed.' },
    { name: 'Accounts', description: 'The tenants and their audit trails.' },
    { name: 'Keys', description: 'The credentials for one account or for all.' },
    { name: 'Authentication', description: 'Access tokens for keys.' },
    { name: 'Ping', description: 'A check of the credentials.' },
  ],
};

/** The name of a schema in references: its `$id`. */
export function referenceName(
  json: { $id?: unknown },
  _base: unknown,
  _fragment: unknown,
  index: number,
): string {
  return typeof json.$id === 'string' ? json.$id : `schema-${index}`;
}

/**
 * The document with its shared responses as references. The generator takes each response of a route for a
 * schema and wraps the reference in a body.
 */
export function unwrapResponses(document: OpenAPIDocument): OpenAPIDocument {
  const paths = mapValues(document.paths, (operations) =>
    mapValues(operations, (operation) => ({
      ...operation,
      responses: mapValues(operation.responses, (response) => {
        const $ref = response.content?.['application/json']?.schema.$ref;
        return $ref?.startsWith('#/components/responses/') ? { $ref } : response;
      }),
    })),
  );
  return { ...document, paths };
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}
