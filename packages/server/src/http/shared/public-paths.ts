/**
 * Paths as clients reach them. A proxy may serve the server below a path of its own and remove that path from
 * requests. `VITRINE_PUBLIC_URL` then has it, and every path that the server writes must begin with it.
 */

/** The path for clients of a path of this server. Both begin with a slash. */
export type PublicPath = (path: string) => string;

/** @param publicURL the base of public links, without a slash at its end; undefined: there is no prefix. */
export function publicPathOf(publicURL: string | undefined): PublicPath {
  // Two slashes at the beginning of a path would name a host.
  const prefix = publicURL === undefined ? '' : new URL(publicURL).pathname.replace(/^\/+|\/+$/g, '');
  return prefix === '' ? (path) => path : (path) => `/${prefix}${path}`;
}

/** An HTML page with the public path in each `href` and `src` that begins with a slash. */
export function withPublicPaths(html: string, publicPath: PublicPath): string {
  return html.replace(/\b(href|src)="(\/(?!\/)[^"]*)"/g, (_attribute, name: string, path: string) => {
    return `${name}="${publicPath('').replaceAll('&', '&amp;')}${path}"`;
  });
}
