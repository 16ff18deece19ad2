// Whether a YAML text is one that the library may be given: it builds a tree with a node for everything,
// at some hundred bytes each, and an error with a text of its own for each thing that is wrong.
//
// The library's lexer reads a text in one pass and keeps nothing. By its lexemes nesting is counted before
// there is a tree: brackets of flow, and indicators of block on one line, each of which opens a level.

import { Lexer } from 'yaml';
import { jsonDepthMax } from '../contract/limits.ts';

/** Two hundred thousand lines of a list; the tree of as many lexemes takes half a gigabyte. */
const lexemesMax = 1_000_000;
/** A line of block holds a key and a value; only flow, which is counted apart, goes on for longer. */
const lineLexemesMax = 512;
const scalarFollows = '\x1f';

export interface OutOfBounds {
  readonly offset: number;
  readonly message: string;
}

export function findOutOfBounds(text: string): OutOfBounds | null {
  let offset = 0;
  let lexemes = 0;
  let flowDepth = 0;
  let lineLexemes = 0;
  let lineIndicators = 0;
  let isScalar = false;
  for (const lexeme of new Lexer().lex(text)) {
    const isIndicator = !isScalar && lexeme.length === 1;
    const isLevel = isIndicator && '-?:'.includes(lexeme);
    if (isIndicator && '[{'.includes(lexeme)) flowDepth++;
    else if (isIndicator && ']}'.includes(lexeme)) flowDepth = Math.max(0, flowDepth - 1);
    else if (flowDepth === 0 && lexeme.includes('\n')) lineLexemes = lineIndicators = 0;
    else if (flowDepth === 0) lineLexemes++;
    if (flowDepth === 0 && isLevel) lineIndicators++;
    if (flowDepth > jsonDepthMax * 4 || lineIndicators > jsonDepthMax * 4) {
      return { offset, message: `is nested deeper than ${jsonDepthMax} levels` };
    }
    if (lineLexemes > lineLexemesMax) return { offset, message: 'has too much on one line' };
    if (++lexemes > lexemesMax) {
      return { offset, message: 'has too many parts; a long list belongs in a file that spec.file names' };
    }
    isScalar = lexeme === scalarFollows;
    if (!marks.has(lexeme)) offset += lexeme.length;
  }
  return null;
}

/** What the lexer says beside the text: start of a document, of a scalar, end of flow where it is missing. */
const marks: ReadonlySet<string> = new Set(['\x02', '\x18', scalarFollows]);
