/** Finds faults that do not compile: they prove nothing about the tests. */
import { resolve } from "node:path";
import ts from "typescript";
import { edit, type Mutation } from "./mutation.ts";

/** @returns a function that returns the first compiler error of an edited file; `undefined` if there is none */
export function openCompiler(): (mutation: Mutation) => string | undefined {
  const options = compilerOptions();
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

/**
 * Compiles all faults in one program, each as a copy of its file, which is much faster than one by one. A copy has types of its
 * own, so that a few errors may be false.
 * @returns the faults that may not compile
 */
export function compileTogether(mutations: readonly Mutation[]): Mutation[] {
  const copies = new Map<string, Mutation>();
  for (const [index, mutation] of mutations.entries())
    if (mutation.file.endsWith(".ts")) copies.set(resolve(mutation.file.replace(/ts$/, `${index}.ts`)), mutation);
  const options = compilerOptions();
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  const textOf = (file: string): string | undefined => {
    const mutation = copies.get(file);
    return mutation && edit(mutation, readFile(mutation.file) ?? "");
  };
  host.fileExists = (file) => copies.has(file) || fileExists(file);
  host.readFile = (file) => textOf(file) ?? readFile(file);
  host.getSourceFile = (file, target, ...rest) => {
    const text = textOf(file);
    return text === undefined ? getSourceFile(file, target, ...rest) : ts.createSourceFile(file, text, target);
  };
  const program = ts.createProgram([...copies.keys()], options, host);
  const hasErrors = (file: string): boolean => {
    const source = program.getSourceFile(file);
    return program.getSyntacticDiagnostics(source).length + program.getSemanticDiagnostics(source).length > 0;
  };
  return [...copies].filter(([file]) => hasErrors(file)).map(([, mutation]) => mutation);
}

function compilerOptions(): ts.CompilerOptions {
  const configFile = ts.readConfigFile("tsconfig.json", ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(configFile.config, ts.sys, ".");
  // A fault may leave variables unused.
  return { ...options, noUnusedLocals: false, noUnusedParameters: false };
}
