//! Text of PDF files, with the place of every word on its page, read in a confined child process.
