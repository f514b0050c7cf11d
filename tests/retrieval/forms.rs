//! Generated documents like those that people upload: invoices, statements, payslips and contracts.
//! Their pages differ in a few words, codes and figures only.

use std::fmt::Write as _;

/// A generated document.
pub(crate) struct Form {
    pub(crate) file_name: &'static str,
    pub(crate) pages: Vec<String>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const CUSTOMERS: [&str; 10] = [
    "Maple Court Hotel",
    "Harbor Lane Bakery",
    "Northgate Primary School",
    "Willow Green Nursery",
    "Oakridge Dental Practice",
    "Granite Street Workshop",
    "Riverside Rowing Club",
    "Bluebell Flower Shop",
    "Silverline Couriers",
    "Old Mill Brewery",
];
const GOODS: [(&str, u32); 10] = [
    ("Office chair with armrests", 18_900),
    ("Standing desk 160 cm", 54_900),
    ("Filing cabinet with lock", 23_500),
    ("LED desk lamp", 4_990),
    ("Whiteboard 120 x 90 cm", 8_450),
    ("Paper shredder", 12_900),
    ("Laser printer toner", 7_320),
    ("Conference phone", 31_000),
    ("Noise absorbing panel", 6_780),
    ("Cable tray", 2_150),
];

/// All generated documents. Every call returns the same.
pub(crate) fn all() -> Vec<Form> {
    vec![
        Form {
            file_name: "invoices.pdf",
            pages: (1..=10).map(invoice).collect(),
        },
        Form {
            file_name: "statement.pdf",
            pages: (1..=6).map(statement).collect(),
        },
        Form {
            file_name: "payslips.pdf",
            pages: (1..=12).map(payslip).collect(),
        },
        Form {
            file_name: "error-codes.pdf",
            pages: (1..=5)
                .map(error_codes)
                .chain([MAINTENANCE.to_owned()])
                .collect(),
        },
        Form {
            file_name: "delivery-notes.pdf",
            pages: (1..=8).map(delivery_note).collect(),
        },
        Form {
            file_name: "insurance.pdf",
            pages: INSURANCE.map(str::to_owned).to_vec(),
        },
        Form {
            file_name: "tenancy.pdf",
            pages: TENANCY.map(str::to_owned).to_vec(),
        },
    ]
}

fn euros(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// An element that depends on the number of the page.
fn pick<T: Copy>(list: &[T], number: usize) -> T {
    list[number % list.len()]
}

fn invoice(page: usize) -> String {
    let customer = pick(&CUSTOMERS, page - 1);
    let mut subtotal = 0;
    let mut rows = String::new();
    for (quantity, item) in (1..).zip(page..page + 4) {
        let (name, price) = pick(&GOODS, item * 3);
        let amount = quantity * price;
        subtotal += amount;
        let _ = writeln!(
            rows,
            "{quantity} x {name}, {} each, {}",
            euros(price),
            euros(amount)
        );
    }
    let vat = subtotal / 5;
    format!(
        "INVOICE\n\nInvoice number: INV-2026-{:04}\nDate of issue: {} {} 2026\nPurchase order: PO-{}\nBill to: {customer}\n\
         {} Station Road\n\nItems\n{rows}\nSubtotal: {} euros\nVAT at 20 %: {} euros\nTotal due: {} euros\n\n\
         Payment is due within 30 days of the date of issue.\nPlease quote the invoice number with your payment.\n\
         Meridian Office Supplies Ltd, Registered in Dublin",
        100 + page,
        page + 3,
        pick(&MONTHS, page),
        7_730 + page,
        page * 7,
        euros(subtotal),
        euros(vat),
        euros(subtotal + vat),
    )
}

fn statement(page: usize) -> String {
    const LAST_DAYS: [u32; 6] = [31, 28, 31, 30, 31, 30];
    const PAYEES: [&str; 6] = [
        "Brightwater Utilities",
        "Corner Grocery Store",
        "City Transport Pass",
        "Lakeside Fitness Studio",
        "Telecom Mobile Plan",
        "Rent Linden Street 4",
    ];
    const SPECIAL: [(&str, u32); 6] = [
        ("Annual card fee", 4_500),
        ("Bookshop on the Square", 6_330),
        ("Garden centre", 11_240),
        ("Railway tickets", 8_790),
        ("Furniture delivery", 74_900),
        ("Dr. Winter Dental Clinic", 23_600),
    ];
    let month = pick(&MONTHS, page - 1);
    let mut balance = 300_000 + 7_111 * cents(page);
    let mut rows = String::new();
    for (line, payee) in PAYEES.iter().enumerate() {
        let amount = 2_000 + 1_234 * cents(line + 1) + 97 * cents(page);
        balance -= amount;
        let _ = writeln!(
            rows,
            "{:02} {month} {payee}, reference RF{}-{:04}-{:04}, -{}, balance {}",
            line * 4 + 2,
            13 + page,
            5_385 + page,
            750 + line,
            euros(amount),
            euros(balance)
        );
    }
    let (name, amount) = SPECIAL[page - 1];
    let salary = 291_000 + 1_500 * cents(page);
    balance = balance + salary - amount;
    format!(
        "Account statement\nFirst Meadow Bank, account 4471 0093, statement {page} of 2026\n\n\
         Opening balance on 1 {month} 2026: {}\n{rows}26 {month} {name}, -{}\n28 {month} Salary {month} 2026, +{}\n\
         Closing balance on {} {month} 2026: {}\n\nPlease check the entries and report errors within six weeks.",
        euros(300_000 + 7_111 * cents(page)),
        euros(amount),
        euros(salary),
        LAST_DAYS[page - 1],
        euros(balance)
    )
}

/// A small number in cents.
fn cents(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn payslip(page: usize) -> String {
    let gross = 412_000 + 1_250 * cents(page);
    let tax = gross / 5 + 37 * cents(page);
    let insurance = gross / 10;
    let (extra, amount) = match page {
        3 => ("Travel allowance: 180.00 euros\n", 18_000),
        8 => ("Overtime, 11 hours: 352.00 euros\n", 35_200),
        12 => ("Christmas bonus: 1500.00 euros\n", 150_000),
        _ => ("", 0),
    };
    format!(
        "Payslip for {} 2026\nMeridian Office Supplies Ltd\nEmployee: Clara Jensen, personnel number 2217\n\n\
         Basic salary: {} euros\n{extra}Gross pay: {} euros\nIncome tax withheld: {} euros\nHealth insurance: {} euros\n\
         Net pay: {} euros\n\nDays of holiday left: {}\nThe net pay is transferred on the last working day of the month.",
        pick(&MONTHS, page - 1),
        euros(gross),
        euros(gross + amount),
        euros(tax),
        euros(insurance),
        euros(gross + amount - tax - insurance),
        30 - page * 2,
    )
}

fn error_codes(page: usize) -> String {
    const PARTS: [&str; 10] = [
        "Drive motor",
        "Shaft bearing",
        "Pressure sensor",
        "Outlet valve",
        "Inlet filter",
        "Cooling fan",
        "Control board",
        "Level switch",
        "Power supply",
        "Heating element",
    ];
    const FAULTS: [(&str, &str); 10] = [
        ("not connected", "Check the plug and the cable."),
        ("overheated", "Let the pump cool down for an hour."),
        ("reports no signal", "Replace the part."),
        (
            "out of calibration",
            "Run the calibration from the service menu.",
        ),
        ("short circuit", "Disconnect the pump and call the service."),
        ("blocked", "Close both valves and clean the part."),
        ("worn", "Order a spare part and replace it within 50 hours."),
        ("leaks", "Tighten the screws to 12 Nm."),
        ("vibrates", "Check the foundation bolts."),
        ("wrong version", "Update the firmware."),
    ];
    let rows: Vec<String> = (0..20)
        .map(|row| (page - 1) * 20 + row)
        .map(|number| {
            let (fault, remedy) = FAULTS[number % 10];
            format!(
                "E{} - {} {fault}. {remedy}\n",
                200 + number,
                PARTS[number / 10]
            )
        })
        .collect();
    format!(
        "Error codes of the circulation pump CP-40, part {page}\nCode - Meaning and remedy\n\n{}",
        rows.concat()
    )
}

const MAINTENANCE: &str = "Maintenance of the circulation pump CP-40\n\n\
    Replace the shaft seal every 4,000 hours of operation or every two years.\n\
    Grease the bearings every 500 hours with lithium grease.\n\
    Check the expansion vessel once a year. Its pressure must be 1.5 bar.\n\n\
    Before any work on the pump, switch it off, lock the main switch and wait until it has cooled down.\n\
    Only trained staff may open the terminal box.";

fn delivery_note(page: usize) -> String {
    const PARTS: [&str; 8] = [
        "Ball bearing",
        "Copper pipe",
        "Flange gasket",
        "Timing belt",
        "Solenoid valve",
        "Steel bracket",
        "Glass panel",
        "Hydraulic hose",
    ];
    const SIGNATURES: [&str; 8] = [
        "M. Alvarez",
        "P. Novak",
        "J. Lindqvist",
        "S. Okafor",
        "T. Brandt",
        "R. Castellano",
        "E. Dubois",
        "K. Yamada",
    ];
    let remark = match page {
        7 => "Two pieces were damaged during transport and go back to the sender.",
        _ => "The goods arrived complete and in good condition.",
    };
    let letter = char::from(b'A' + u8::try_from(page - 1).unwrap_or(0));
    format!(
        "Delivery note DN-{}\nDelivered to: {}\nDate of delivery: {} {} 2026\nCarrier: Silverline Couriers, tracking number TRK{}\n\n\
         Part PN-{}-{letter}: {}, {} pieces\nPacking: {} cartons on one pallet, {} kg\n\n{remark}\nReceived by: {}",
        88_100 + page,
        pick(&CUSTOMERS, page - 1),
        page * 3,
        pick(&MONTHS, page + 2),
        990_417 + page * 13,
        4_470 + page,
        PARTS[page - 1],
        page * 40 + 8,
        page + 2,
        page * 15 + 20,
        SIGNATURES[page - 1],
    )
}

const INSURANCE: [&str; 5] = [
    "Household insurance policy HH-550129\nSchedule of cover\n\n\
     Policyholder: Clara Jensen, Linden Street 4\nContents of the home: sum insured 85,000 euros\n\
     Valuables and jewellery: up to 15,000 euros\nBicycles: up to 2,000 euros each\nGlass: included\n\
     Yearly premium: 214.80 euros, payable in advance on 1 March.",
    "Section 2: what we insure\n\n\
     Fire, lightning and explosion are insured without an excess.\n\
     Escape of water from pipes and appliances is insured with an excess of 250 euros for each claim.\n\
     Burglary is insured if the door was locked. Damage to the building by burglars is included.\n\
     Storm is insured from wind force 8.",
    "Section 3: what we do not insure\n\n\
     We do not pay for damage by flood, rising ground water or earthquake unless natural hazards are named in the schedule.\n\
     We do not pay for wear and tear, vermin, or mould that formed gradually.\n\
     We do not pay for things that are used for a business.\n\
     Damage that you cause on purpose is never insured.",
    "Section 4: how to make a claim\n\n\
     A theft must be reported to the police within three days, with a list of the stolen things.\n\
     Write to the claims department, PO Box 77, Galway, or call us within a week of the damage.\n\
     Keep damaged things until we have seen them. Send photographs and receipts.\n\
     We pay within fourteen days after we have accepted the claim.",
    "Section 5: ending the policy\n\n\
     You can cancel the policy with a notice of three months to the end of a year of insurance.\n\
     After a claim, both sides can cancel within one month.\n\
     If you move, the cover goes with you; tell us the new address and floor area within two months.\n\
     Complaints go to the financial ombudsman.",
];

const TENANCY: [&str; 4] = [
    "Tenancy agreement\n\n\
     Landlord: Hollis Property Management. Tenant: Clara Jensen.\nThe flat is on the second floor of Linden Street 4 and has 68 square metres.\n\
     The tenancy begins on 1 September 2025 and has no fixed end.\n\
     The monthly rent is 1,140 euros, to be paid by the third working day.\nHeating and water are paid in advance with 160 euros a month.",
    "Clause 4: deposit and use\n\n\
     The deposit is 2,280 euros. It is kept on a separate account and paid back within six months after the end.\n\
     Pets need the written consent of the landlord, except for small animals in cages.\n\
     Subletting is allowed for single rooms after notification.\nSmoking is not allowed in the stairwell.",
    "Clause 7: repairs and access\n\n\
     The tenant pays for minor repairs up to 100 euros each and 300 euros a year.\n\
     The landlord pays for everything else and for the yearly service of the boiler.\n\
     The landlord announces an inspection at least 48 hours ahead, except in an emergency.\n\
     Structural changes need written consent.",
    "Clause 11: end of the tenancy\n\n\
     The tenant can end the tenancy with three months' notice, in writing.\n\
     The flat is returned swept clean, with holes in the walls filled and all five keys.\n\
     Painting is not required if the tenancy lasted less than three years.\n\
     A record of the handover is signed by both sides.",
];
