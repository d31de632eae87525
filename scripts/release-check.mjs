// Everything of a release but its publishing: packs and installs what is committed, makes the next version on a copy, renders its changelogs and
// upgrade notes.
//
//   npm run release:check                 says what would be released
//   npm run release:check -- --publish    … and refuses while it could not be published: set RELEASE_SCOPE to the scope that is yours
//   npm run release:check -- --out DIR    leaves changelogs and notes there, to read
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { load } from "./consumer/load.mjs";
import { checkContents, createProject } from "./consumer/project.mjs";
import { publishedPackages, root } from "./workspace.mjs";

const { values } = parseArgs({ options: { publish: { type: "boolean" }, out: { type: "string" } } });

const problems = [
  ...(values.publish ? ownerProblems(publishedPackages(), process.env.RELEASE_SCOPE) : []),
  ...tarballProblems(),
  ...versionProblems(values.out && resolve(values.out)),
];
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}

/** The fields that only the owner of a scope and of a repository can fill in. @returns {string[]} problems */
function ownerProblems(packages, scope) {
  const problems = scope ? [] : ["RELEASE_SCOPE is not set: it names the scope that is yours, as in @mm"];
  for (const { name, folder, repository } of packages) {
    if (scope && !name.startsWith(`${scope}/`)) problems.push(`${name}: its scope is not ${scope}`);
    if (!repository?.url) problems.push(`${name}: package.json has no repository.url`);
    else if (repository.directory !== folder) problems.push(`${name}: repository.directory is not ${folder}`);
  }
  return problems;
}

/** Packs and installs all, and imports and requires each entry point. @returns {string[]} problems */
function tarballProblems() {
  const project = createProject();
  try {
    const problems = checkContents(project);
    if (problems.length > 0) return problems;
    console.log(
      `${Object.keys(project.tarballs).length} tarballs, each with licence and README, installed in an empty project`,
    );
    return load(project);
  } finally {
    rmSync(project.folder, { recursive: true });
  }
}

/** Makes the next version of what is committed, on a copy. @returns {string[]} problems */
function versionProblems(out) {
  const copy = mkdtempSync(join(tmpdir(), "release-"));
  try {
    execFileSync("git", ["clone", "--quiet", "--shared", root, copy]);
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const notes = upgradeNotes(changesets(copy));
    execFileSync(join(root, "node_modules/.bin/changeset"), ["version"], {
      cwd: copy,
      stdio: ["ignore", "ignore", "inherit"],
    });
    const manifests = publishedPackages().map(({ folder }) => ({
      ...JSON.parse(readFileSync(join(copy, folder, "package.json"), "utf8")),
      folder,
    }));
    const { version } = manifests[0];
    console.log(`next version: ${version}, of ${manifests.length} packages`);
    if (out) write(out, copy, manifests, notes);
    return [...changelogProblems(copy, manifests, version), ...leftOver(copy)];
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** The pending changesets: their packages and paragraphs. */
function changesets(copy) {
  const folder = join(copy, ".changeset");
  return readdirSync(folder)
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .map((file) => {
      const [, head, body] = readFileSync(join(folder, file), "utf8").split(/^---$/m);
      return {
        packages: [...head.matchAll(/"(.+)"/g)].map(([, name]) => name),
        paragraphs: body.trim().split(/\n\n+/),
      };
    });
}

/** Apart for those who train and those who write rules and backends: paragraphs for these begin with "For authors". */
function upgradeNotes(sets) {
  const notes = { users: [], authors: [] };
  for (const { packages, paragraphs } of sets) {
    for (const paragraph of paragraphs) {
      const readers = paragraph.startsWith("For authors") ? notes.authors : notes.users;
      readers.push(
        `- ${packages.map((name) => `\`${name}\``).join(", ")}: ${paragraph.replace(/\n/g, "\n  ")}`,
      );
    }
  }
  return notes;
}

function changelogProblems(copy, manifests, version) {
  return manifests.flatMap(({ name, folder, version: own }) => {
    const file = join(copy, folder, "CHANGELOG.md");
    if (own !== version) return [`${name}: its version is ${own}, not ${version}`];
    if (!existsSync(file)) return [`${name}: it has no CHANGELOG.md`];
    const text = readFileSync(file, "utf8");
    return text.startsWith(`# ${name}\n\n## ${version}\n`)
      ? []
      : [`${name}: CHANGELOG.md does not begin with ${version}`];
  });
}

function leftOver(copy) {
  return changesets(copy).length === 0 ? [] : ["changesets are left over that no version took up"];
}

function write(out, copy, manifests, { users, authors }) {
  mkdirSync(out, { recursive: true });
  for (const { name, folder } of manifests) {
    const text = readFileSync(join(copy, folder, "CHANGELOG.md"), "utf8");
    writeFileSync(join(out, `${name.split("/")[1]}.md`), text);
  }
  const notes = (title, lines) => `# ${title}\n\n${lines.join("\n")}\n`;
  writeFileSync(join(out, "upgrade-for-users.md"), notes("For those who train", users));
  writeFileSync(join(out, "upgrade-for-authors.md"), notes("For authors of rules and backends", authors));
  console.log(`changelogs and upgrade notes: ${out}`);
}
