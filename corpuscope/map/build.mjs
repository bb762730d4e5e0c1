// Bundles source/ into build/, which is committed: running and testing need no npm.
import { build } from "esbuild"
import { createHash } from "node:crypto"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { basename } from "node:path"

await rm("build", { recursive: true, force: true })
await build({
  entryPoints: [{ in: "source/index.js", out: "map" }, { in: "source/map.css", out: "map" }],
  outdir: "build",
  // A changed file has another name, so that no browser goes on with an old one.
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "info",
})

const notices = await Promise.all(
  ["d3-contour", "d3-array", "internmap"].map(async (name) => {
    const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"))
    return `${name} ${version} (${license})\n\n${(await readFile(`node_modules/${name}/LICENSE`, "utf8")).trim()}\n`
  }),
)
await writeFile("build/LICENSES.txt", `The bundle contains these packages.\n\n${notices.join("\n---\n\n")}`)

// So that a test without npm can tell whether the bundle is of these sources.
const sources = ["package.json", "build.mjs", ...(await readdir("source")).map((name) => `source/${name}`)]
sources.sort((one, other) => (basename(one) < basename(other) ? -1 : 1))
const digest = createHash("sha256")
for (const path of sources) digest.update(await readFile(path))
await writeFile("build/SOURCES", `${digest.digest("hex")}\n`)
