/** Finds faults that do not compile: they prove nothing about the tests. */
import { resolve } from "node:path";
import ts from "typescript";
import { edit, type Mutation } from "./mutation.ts";

/** @returns a function that returns the first compiler error of an edited file; `undefined` if there is none */
export function openCompiler(): (mutation: Mutation) => string | undefined {
  const configFile = ts.readConfigFile("tsconfig.json", ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(configFile.config, ts.sys, ".");
  // A fault may leave variables unused.
  Object.assign(options, { noUnusedLocals: false, noUnusedParameters: false });
  let current: { file: string; text: string } | undefined;
  let version = 0;
  const roots = new Set<string>();
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getCurrentDirectory: () => process.cwd(),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    getScriptFileNames: () => [...roots],
    getScriptVersion: (file) => (file === current?.file ? `edit ${version}` : "original"),
    getScriptSnapshot(file) {
      const text = file === current?.file ? current.text : ts.sys.readFile(file);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  });
  return (mutation) => {
    if (!mutation.file.endsWith(".ts")) return undefined;
    const file = resolve(mutation.file);
    roots.add(file);
    version += 1;
    current = { file, text: edit(mutation, ts.sys.readFile(file) ?? "") };
    const [first] = [...service.getSyntacticDiagnostics(file), ...service.getSemanticDiagnostics(file)];
    return first && ts.flattenDiagnosticMessageText(first.messageText, "\n");
  };
}
