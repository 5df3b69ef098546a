"""All the English of the web pages, in one place: what is said, but not when or where."""

from __future__ import annotations

NAME = "Comet Reader"
TAGLINE = "It reads long documents once, remembers them, and answers from memory."

# Everywhere
DONE, NOT_DONE = "Done", "That did not work"
DEFECT = "Something went wrong here, not with you. The server's log says what."
SIGNED_IN = "Signed in as"
SIGN_OUT = "Sign out"
DOCUMENT = "Document"
NO_DOCUMENT = "There is no document yet. Add one on the Library page."
NOT_READ = "not read yet"
GONE = "This document is not there (any more)."
FORGET = "Remove"
KEEP = "Keep it"

# Signing in
SIGN_IN = "Sign in"
SIGN_IN_FIRST = "Sign in first."
USER = "Name"
PASSWORD = "Password"
WRONG_LOGIN = "There is no such name and password. Try again."
TOO_MANY_LOGINS = "Too many tries. Wait a minute, then try again."
NO_ACCOUNT = "Whoever runs this server makes accounts, with: comet-reader user add NAME"

# Who may reach what
ONLY_THIS_MACHINE = "This server only answers to this machine."
OTHER_SITE = "This request comes from another web site."
NOT_SERVED = "There is nothing here."
NOT_YOURS = "This session belongs to somebody else."
NEEDS_USERS = (
    "Other machines reach {host}: demand that people sign in with --auth, "
    "or leave --host out to serve this machine only."
)
NEEDS_A_USER = "Nobody could sign in: make a user first with: comet-reader user add NAME"
LOADING = "Loading the model"
LISTENING = (
    "Listening on {url} for this machine only, and nobody signs in (--auth changes that). "
    "Ctrl-C ends it."
)
LISTENING_AUTH = "Listening on {url}; people sign in. Ctrl-C ends it."
API_CLOSED = "This server offers the chat API only with an API key (comet-reader serve --api-key)."

# Library
LIBRARY = "Library"
DROP = "Drop documents here"
CHOOSE = "or choose files"
FORMATS = "PDF, EPUB, Word, web pages, Markdown or plain text, up to {size} each."
SENDING = "Sending {name}…"
TOO_LARGE = "{{name}} is larger than {size}, the most that is taken here. Send a part of it."
NOT_SENT = "{name} could not be sent; is the server still running? Try again."
READING = "Reading"
DOCUMENTS = "Your documents"
NO_DOCUMENTS = "Nothing here yet. Drop a book, a paper or a manual above to begin."
TITLE, PAGES, TOKENS, MEMORY_SIZE, STATE = "Title", "Pages", "Tokens read", "Memory", "State"
STOP = "Stop"
DISMISS = "Dismiss"
ASK = "Ask"
WAITING = "Waiting in line"
STARTING = "Opening the document"
READY = "Ready"
INTERRUPTED = "Not read to its end; add the file again to go on"
SKIPPED_ONE, SKIPPED_MANY = "1 page could not be read", "{count} pages could not be read"
ASK_REMOVE = (
    'Remove "{title}"? Its memory and all conversations about it are removed too. '
    "This cannot be undone."
)
REMOVED = '"{title}" was removed, with its memory and its conversations.'
PROGRESS_OF = "How far {name} is read"
STOP_READING = "Stop reading {name}"
DISMISS_MESSAGE = "Dismiss the message about {name}"
ASK_ABOUT = "Ask about {title}"
REMOVE_TITLE = "Remove {title}"

# Chat
CHAT = "Chat"
CONVERSATIONS = "Conversations"
NEW_CONVERSATION = "New conversation"
CHAT_ABOUT = "Conversation"
QUESTION = "Your question"
QUESTION_HINT = "Ask something about the document"
SEND = "Send"
STOP_ANSWER = "Stop"
CHAT_EMPTY = "Ask a question. The answer comes from memory, and the last pages word for word."
CHAT_WITHOUT_DOCUMENT = "Add a document on the Library page first, then ask here."
CHAT_NOT_READ = "This document is not read to its end yet. You can ask when it is."
RESUMING = "Resuming from memory…"
RESUMED = "Resumed from a memory of {tokens} tokens in {resumed} s."
REMEMBERED = "Told from memory."
SEEN = "Told from the last pages, which are held word for word."
WRITTEN = "First word after {first} s, the whole answer in {seconds} s."
STOPPED = "You stopped this answer."
MANAGE = "This conversation"
CONVERSATION_NAME = "Name"
RENAME = "Rename"
EXPORT = "Download as Markdown"
DELETE = "Delete"
ASK_DELETE = "Delete this conversation? This cannot be undone."
DELETED = "The conversation was deleted."
RENAMED = "The conversation has a new name."
TOO_MANY_QUESTIONS = "Your other questions are still being answered. Ask again when one is done."
EMPTY_QUESTION = "The question is empty; say what you want to know."
LONG_QUESTION = "The question has {count:,} characters, and may have {limit:,}; make it shorter."
NOTHING_CHOSEN = "Choose a document first."

# Memory
MEMORY = "Memory"
MEMORY_INTRO = (
    "This is what is left of a document after it was read. But for its last pages, the text is not "
    "kept: answers come from these numbers, which take hardly more room for a shelf than for a "
    "book."
)
MEMORY_NOT_READ = "This document is not read to its end yet. Its memory can be seen when it is."
MEMORY_SUMMARY = (
    "“{title}” was {tokens} tokens long (a token is a short word, or part of one). What remains is "
    "a memory of {size}: in each of the model's {layers} layers, {global_rows} rows of global "
    "memory for what matters throughout, and {temporary_rows} rows of temporary memory for what "
    "was read last."
)
STRIP = "What is still remembered in detail"
STRIP_GLOBAL = "global memory only"
STRIP_TEMPORARY = "temporary memory"
STRIP_TAIL = "word by word"
STRIP_WHOLE, STRIP_END = "the whole document", "its end, enlarged"
STRIP_AXIS = "place in the document, in tokens"
STRIP_TAIL_SAYS = "The last {count} tokens are read again, word by word, with every question."
STRIP_TEMPORARY_SAYS = (
    "The {count} before them are in the temporary memory: {rows} rows, each standing for {stride} "
    "tokens. It is a queue: when more text comes, its oldest rows fall out."
)
STRIP_GLOBAL_SAYS = (
    "The first {share} of the document has left the queue. Whatever is known of it is in the "
    "{rows} rows of global memory."
)
STRIP_NOTHING_LEFT = "The document is so short that nothing has left the queue."
GATES = "What each layer kept"
GATES_X, GATES_Y = "chunk of the document", "layer"
GATES_KEPT = "kept"
GATES_SAYS = (
    "The document was read in chunks of {chunk} tokens. After each, a gate in every layer decides "
    "how much of its global memory to keep (dark) and how much to take from the new chunk "
    "(bright). A layer that is dark all along guards what it learned early; a bright one follows "
    "the text."
)
GATES_VOLUMES = (
    "Every {chunks} chunks it begins anew, which is bright in all layers, and what it was stays as "
    "it is, so that nothing is written over it: the {global_rows} rows are those of {count} such "
    "volumes."
)
GATES_SPAN = "Each column is the mean over {span} chunks."
GATES_ONE_CHUNK = (
    "Not two chunks of this document were read into the memory. A gate weighs old memory against "
    "a new chunk, so there is nothing to show yet."
)
GATES_NONE = "The gates of this reading were not kept. Remove the document and add it again."
SIZES = "How much room it takes"
SIZE_MEMORY, SIZE_TEXT, SIZE_CACHE = "this memory", "the plain text", "an ordinary cache"
SIZES_SAYS = (
    "The memory takes {memory}; the plain text would take {text}, at a byte a character. To have "
    "the whole text in mind, an ordinary model keeps a key and a value of every token in every "
    "layer: {cache}, "
)
SIZES_LARGER = "{times} times as much as this memory. The scale is logarithmic."
SIZES_SMALLER = (
    "{times} times this memory: for so short a text the memory does not pay. It hardly grows, "
    "however long a text gets. The scale is logarithmic."
)
NO_MEMORY = (
    "This text is short enough to be held word for word, so nothing was folded into a memory: all "
    "of it is read again with every question."
)
CHANCES = "How sure an answer was"
CHANCES_ANSWER = "Answer to"
CHANCES_NONE = "Nothing was asked about this document yet. Ask something on the Chat page."
CHANCES_SAYS = (
    "Each bar is a token of the answer, and its height the chance the model gave it: {mean} on "
    "average, and least of all for “{piece}”, {lowest}. A low bar is where another word would have "
    "done as well, or where the model was guessing."
)
CHANCES_Y = "chance"
