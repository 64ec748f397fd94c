/**
 * Puts the examples of all rooms into the OpenAPI document. Each is once in `components.examples`, and
 * operations refer to it.
 */
import { ACCESS_EXAMPLES } from './access/examples.ts';
import { CATALOG_EXAMPLES } from './catalog/examples.ts';
import { IMAGE_EXAMPLES } from './images/examples.ts';
import {
  type Example,
  type Examples,
  example,
  PARAMETER_EXAMPLES,
  SHARED_RESPONSE_EXAMPLES,
} from './shared/examples.ts';
import { type Content, mapValues, type OpenAPIDocument, type Parameter } from './shared/openapi-document.ts';

export const EXAMPLES: Examples = {
  ping: { responses: { 200: [example('Pong', 'Valid credentials', {})] } },
  ...IMAGE_EXAMPLES,
  ...CATALOG_EXAMPLES,
  ...ACCESS_EXAMPLES,
};

/** Returns the document with its examples. Images have none: a file does not fit into the document. */
export function addExamples(document: OpenAPIDocument): OpenAPIDocument {
  const named: Record<string, object> = {};
  const refer = (examples: readonly Example[]) =>
    Object.fromEntries(
      examples.map(({ name, summary, value }) => {
        named[name] = { summary, value };
        return [name, { $ref: `#/components/examples/${name}` }];
      }),
    );
  const addTo = <Body extends Content>(body: Body, examples: readonly Example[] | undefined): Body =>
    body.content && examples
      ? { ...body, content: mapValues(body.content, (media) => ({ ...media, examples: refer(examples) })) }
      : body;

  const paths = mapValues(document.paths, (operations) =>
    mapValues(operations, (operation) => {
      const { request, responses } = EXAMPLES[operation.operationId] ?? {};
      return {
        ...operation,
        ...(operation.parameters && { parameters: operation.parameters.map(addParameterExample) }),
        ...(operation.requestBody && { requestBody: addTo(operation.requestBody, request) }),
        responses: mapValues(operation.responses, (response, status) =>
          addTo(response, responses?.[Number(status)]),
        ),
      };
    }),
  );
  const responses = mapValues(document.components.responses, (response, name) =>
    addTo(response, SHARED_RESPONSE_EXAMPLES[name]),
  );
  return { ...document, paths, components: { ...document.components, responses, examples: named } };
}

/** A parameter with a default or fixed values needs no example. */
function addParameterExample(parameter: Parameter): Parameter {
  const value = PARAMETER_EXAMPLES[parameter.name];
  return value === undefined ? parameter : { ...parameter, example: value };
}
