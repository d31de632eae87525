import { UsageError } from "./usage-error.ts";

/** The names of a backend, in every form that its files need. */
export interface Names {
  /** On npm: `"@you/optim-my-lib"`. */
  readonly name: string;
  /** The library that it is a backend for: `"my-lib"`; its optimizers call themselves so, too. */
  readonly host: string;
}

/** A library and the versions of it that a backend works with. */
export interface Host {
  readonly name: string;
  readonly range: string;
}

const part = /^[a-z0-9][a-z0-9._~-]*$/;

/** @throws UsageError for what npm takes as no name, or what leaves nothing to call the host */
export function namesOf(name: string): Names {
  requireName(name);
  const unscoped = name.split("/").at(-1) as string;
  const host = unscoped
    .replace(/^optim-/, "")
    .replace(/-(optim|optimizer|backend)$/, "")
    .replace(/[._~-]+/g, "-");
  if (!/^[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*$/.test(host)) {
    throw new UsageError(`no function can be called after ${name}: expected words that begin with letters`);
  }
  return { name, host };
}

/** @throws UsageError */
export function hostOf(given: string): Host {
  const at = given.indexOf("@", 1);
  const [name, range] = [given.slice(0, at), given.slice(at + 1)];
  if (at < 0 || range === "") throw new UsageError(`expected --host PACKAGE@RANGE, got ${given}`);
  requireName(name);
  return { name, range };
}

function requireName(name: string): void {
  const parts = name.startsWith("@") ? name.slice(1).split("/") : [name];
  const wanted = name.startsWith("@") ? 2 : 1;
  if (parts.length !== wanted || name.length > 214 || !parts.every((each) => part.test(each))) {
    throw new UsageError(`expected a name that npm takes, in small letters, got ${JSON.stringify(name)}`);
  }
}

/** The template's text with these names in the place of its own. */
export function renamed(text: string, { name, host }: Names): string {
  const camel = host.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  const pascal = camel.charAt(0).toUpperCase() + camel.slice(1);
  return text
    .replaceAll("optim-example", name)
    .replaceAll(/example(?=[A-Z])/g, camel)
    .replaceAll("Example", pascal)
    .replaceAll("example", host);
}
